package bypass_test

import (
	"testing"
	"time"
)

// TestAClockThatJumpsEndsTokensAndComesBack moves the clock of a whole gate, and only its own, ahead by hours and back.
func TestAClockThatJumpsEndsTokensAndComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	read := exchange{
		Who: "ann", HTTP: "GET /dbs/shop/colls/orders/docs/1001 HTTP/1.1\nx-ms-documentdb-partitionkey: [\"emea\"]\n",
		Want: texts{"200"}, Upstream: texts{`items/read shop/orders 1001 ["emea"]`}, Record: texts{"allow items/read"},
	}
	ended := exchange{Who: read.Who, HTTP: read.HTTP, Want: texts{"401/5006"}, Record: texts{"deny -"}}
	w.play(t, &read)
	w.jump.Store(int64(5 * time.Hour))
	w.play(t, &ended) // also of the token that the gate remembers
	w.jump.Store(0)
	w.play(t, &read) // a verdict is not remembered beyond its moment
}
