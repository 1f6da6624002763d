// Package logtest holds what every [directory.Log] must keep, as a test suite,
// and logs for tests: one in memory and one that fails as disks and networks do.
//
//	func TestContract(t *testing.T) {
//		t.Parallel()
//		logtest.Run(t, func(t *testing.T) func() directory.Log {
//			path := filepath.Join(t.TempDir(), "log")
//			return func() directory.Log { return open(t, path) }
//		})
//	}
package logtest
