package sql_test

import (
	"testing"

	"github.com/cosmosgate/cosmosgate/cosmos/sql"
)

func TestRewriteLeavesNothingToReadInTwoWays(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ text, want string }{
		"blanks":          {"SELECT\t*\n  FROM   c", "SELECT * FROM c"},
		"comments":        {"SELECT * -- c.card\nFROM c--x", "SELECT * FROM c"},
		"strings":         {`SELECT * FROM c WHERE c['a"b'] = 'it\'s \u0041é😀' + "\t"`, `SELECT * FROM c WHERE c["a\"b"] = "it's A\u00e9\ud83d\ude00" + "\u0009"`},
		"names as such":   {"select * from Root Value where Value.order[0].Top=1e3", "select * from Root Value where Value.order[0].Top=1e3"},
		"blanks to begin": {"  SELECT 1", "SELECT 1"},
		"parameters":      {"SELECT * FROM c WHERE c.x=@x AND true", "SELECT * FROM c WHERE c.x=@x AND true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := sql.Rewrite(row.text)
			if err != nil || got != row.want {
				t.Errorf("got %s, %v, want %s", got, err, row.want)
			}
		})
	}
	if got, err := sql.Rewrite("SELECT 'x"); err == nil {
		t.Errorf("an open string became %q", got)
	}
}

// FuzzRewrite holds what is written anew to mean what it was written from.
func FuzzRewrite(f *testing.F) {
	f.Add(`SELECT TOP 5 * FROM c WHERE c["a\u0062"] LIKE 'x\'' AND c.n IN (1,2.50) -- x`)
	f.Add("SELECT VALUE {a:1} FROM c IN d.e ORDER BY c.f DESC OFFSET 1 LIMIT 2")
	f.Fuzz(func(t *testing.T, text string) {
		before, err := sql.Parse(text)
		if err != nil {
			return
		}
		written, err := sql.Rewrite(text)
		if err != nil {
			t.Fatalf("%q parses and cannot be written anew: %v", text, err)
		}
		after, err := sql.Parse(written)
		if err != nil {
			t.Fatalf("%q became %q: %v", text, written, err)
		}
		if again, _ := sql.Rewrite(written); again != written {
			t.Errorf("%q became %q and then %q", text, written, again)
		}
		if before.Where != nil && sql.Canonical(before.Where) != sql.Canonical(after.Where) && len(before.From) < 2 {
			t.Errorf("%q became %q", text, written)
		}
	})
}
