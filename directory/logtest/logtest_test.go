package logtest_test

import (
	"path/filepath"
	"testing"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/directory/logtest"
)

func TestTheEmbeddedLogKeepsTheContract(t *testing.T) {
	t.Parallel()
	logtest.Run(t, func(t *testing.T) func() directory.Log {
		t.Helper()
		path := filepath.Join(t.TempDir(), "directory.db")
		return func() directory.Log {
			l, err := directory.OpenBolt(path)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
	})
}

func TestTheLogInMemoryKeepsTheContract(t *testing.T) {
	t.Parallel()
	logtest.Run(t, func(t *testing.T) func() directory.Log {
		t.Helper()
		m := &logtest.Memory{}
		return func() directory.Log { return m }
	})
}

func TestAFaultyLogThatDoesNotFailKeepsTheContract(t *testing.T) {
	t.Parallel()
	logtest.Run(t, func(t *testing.T) func() directory.Log {
		t.Helper()
		f := &logtest.Faulty{Log: &logtest.Memory{}}
		return func() directory.Log { return f }
	})
}
