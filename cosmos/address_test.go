package cosmos_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

// place is what a path addresses.
type place struct {
	Operation, Database, Container, ID, Upstream string
}

func TestPathsAreReadOnceAndSentCanonically(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name, target string
		want         place
	}{
		{"the account", "/", place{"account/read", "", "", "", "/"}},
		{"the database feed", "/dbs", place{"databases/list", "", "", "", "/dbs"}},
		{"a database", "/dbs/shop", place{"databases/read", "shop", "", "", "/dbs/shop"}},
		{"the container feed", "/dbs/shop/colls", place{"containers/list", "shop", "", "", "/dbs/shop/colls"}},
		{"a container", container, place{"containers/read", "shop", "orders", "", container}},
		{"key ranges", container + "/pkranges", place{"pkranges/read", "shop", "orders", "", container + "/pkranges"}},
		{"an item", item, place{"items/read", "shop", "orders", "1", item}},
		{"the item feed", items, place{"items/readFeed", "shop", "orders", "", items}},
		{
			"encryption keys", "/dbs/shop/clientencryptionkeys/k",
			place{"encryptionKeys/read", "shop", "", "k", "/dbs/shop/clientencryptionkeys/k"},
		},
		{"Python's double slash and trailing slash", "//dbs/shop/colls/orders/docs/1/", place{"items/read", "shop", "orders", "1", item}},
		{"keywords in capitals", "/DBS/shop/Colls/orders/DOCS/1", place{"items/read", "shop", "orders", "1", item}},
		{"names keep their case", "/dbs/Shop/colls/ORDERS", place{"containers/read", "Shop", "ORDERS", "", "/dbs/Shop/colls/ORDERS"}},
		{"a database called colls", "/dbs/colls/colls/docs/docs/dbs", place{"items/read", "colls", "docs", "dbs", "/dbs/colls/colls/docs/docs/dbs"}},
		{"a sign that is never sent raw", items + "/a^b%2Fc", place{"items/read", "shop", "orders", "a^b/c", items + "/a%5Eb%2Fc"}},
		{"a space", "/dbs/my%20shop", place{"databases/read", "my shop", "", "", "/dbs/my%20shop"}},
		{"an encoded letter", "/dbs/%73hop", place{"databases/read", "shop", "", "", "/dbs/shop"}},
		{"a plus sign is itself", items + "/a+b", place{"items/read", "shop", "orders", "a+b", items + "/a%2Bb"}},
		{"an item id with every reserved sign", items + "/%3A%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D", place{
			"items/read", "shop", "orders", ":?#[]@!$&'()*+,;=",
			items + "/%3A%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D",
		}},
		{"an item id with a slash", items + "/a%2fb", place{"items/read", "shop", "orders", "a/b", items + "/a%2Fb"}},
		{"an item id with a backslash", items + "/a%5cb", place{"items/read", "shop", "orders", `a\b`, items + "/a%5Cb"}},
		{"an item id with a percent sign", items + "/100%25", place{"items/read", "shop", "orders", "100%", items + "/100%25"}},
		{"an item id that looks encoded", items + "/a%2520b", place{"items/read", "shop", "orders", "a%20b", items + "/a%2520b"}},
		{"an item id with dots", items + "/a..b.", place{"items/read", "shop", "orders", "a..b.", items + "/a..b."}},
		{"an item id beyond ASCII", items + "/%C3%A9", place{"items/read", "shop", "orders", "é", items + "/%C3%A9"}},
		{"an item id that looks like a RID", items + "/" + itemRID, place{"items/read", "shop", "orders", itemRID, items + "/QicwAMPXDQABAAAAAAAAAA%3D%3D"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			op := classified(t, sent{method: http.MethodGet, target: row.target})
			got := place{op.Type.String(), op.Database, op.Container, op.ID, op.UpstreamPath()}

			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestPathsThatReadTwoWaysAreRefused(t *testing.T) {
	t.Parallel()

	for _, row := range []struct{ name, target string }{
		{"dot segments", "/dbs/shop/colls/orders/../secrets"},
		{"encoded dot segments", "/dbs/shop/colls/%2e%2e"},
		{"a single dot", "/dbs/shop/colls/."},
		{"dot segments inside an item id", items + "/a%2F..%2Fb"},
		{"dot segments after a backslash", items + "/a%5C..%5Cb"},
		{"dot segments encoded twice", items + "/a%252F..%252Fb"},
		{"dots and slash encoded twice", items + "/%252e%252e%252fb"},
		{"an empty part of an item id", items + "/a%2F%2Fb"},
		{"an item id ending in a slash", items + "/a%2F"},
		{"a slash in a container", "/dbs/shop/colls/orders%2Fdocs%2F1"},
		{"a backslash in a container", "/dbs/shop/colls/orders%5Cdocs"},
		{"a raw backslash", items + `/a\b`},
		{"a question mark in a database", "/dbs/shop%3Fx"},
		{"a container encoded twice", "/dbs/shop/colls/%256frders"},
		{"a slash encoded twice in a database", "/dbs/shop%252Fcolls"},
		{"a line break", items + "/a%0d%0ab"},
		{"a null byte", items + "/a%00"},
		{"delete", items + "/a%7f"},
		{"broken UTF-8", items + "/%ff"},
		{"an overlong slash", items + "/a%c0%afb"},
		{"a name ending in a space", "/dbs/shop%20"},
		{"a name beginning with a space", "/dbs/%20shop"},
		{"a name ending in an exotic space", "/dbs/shop%C2%A0"},
		{"a name ending in a dot", "/dbs/shop."},
		{"a name of 256 bytes", "/dbs/" + strings.Repeat("a", 256)},
		{"an item id of 1024 bytes", items + "/" + strings.Repeat("a", 1024)},
		{"an encoded keyword", "/dbs/shop/%63olls/orders"},
		{"a keyword with a Kelvin sign", "/dbs/shop/colls/orders/p%E2%84%AAranges"},
		{"an unknown keyword", "/dbs/shop/tables/orders"},
		{"an unknown root", "/admin"},
		{"an attachment", item + "/attachments/1"},
		{"a range by id", container + "/pkranges/0"},
		{"a query string", item + "?x=1"},
		{"an empty query string", item + "?"},
		{"a query string on the account", "/?$resolveFor=dbs/shop"},
		{"the asterisk", "*"},
		{"a raw fragment", item + "#x"},
		{"an encoded slash in a container beside a sign that is never sent raw", "/dbs/shop/colls/orders%2Fdocs/x^y"},
		{"a target with a user", "https://bob:x@gate.example" + item},
		{"a target of another protocol", "ftp://gate.example" + item},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			_, err := classify(t, sent{method: http.MethodGet, target: row.target})
			if got := nativeError(t, err).Status; got != http.StatusBadRequest {
				t.Errorf("got status %d, want 400", got)
			}
		})
	}
}

func TestResourceIDsMustAgree(t *testing.T) {
	t.Parallel()

	const (
		otherContainer = "QicwAMPXDgA="
		otherItem      = "QicwAMPXDgABAAAAAAAAAA=="
		otherDatabase  = "QicxAA=="
		conflict       = "QicwAMPXDQABAAAAAAAAQA=="
		keyRange       = "QicwAMPXDQABAAAAAAAAUA=="
		procedure      = "QicwAMPXDQABAAAAAAAAgA=="
		user           = "QicwAAPXDgA="
	)

	type resolved struct {
		Database, Container, ID, Upstream string
	}

	for _, row := range []struct {
		name, method, target string
		want                 *resolved
	}{
		{"a database", http.MethodGet, "/dbs/" + databaseRID, &resolved{databaseRID, "", "", "/dbs/QicwAA%3D%3D"}},
		{"percent-encoded padding", http.MethodGet, "/dbs/QicwAA%3D%3D", &resolved{databaseRID, "", "", "/dbs/QicwAA%3D%3D"}},
		{"unused bits set are cleared", http.MethodGet, "/dbs/QicwAB==", &resolved{databaseRID, "", "", "/dbs/QicwAA%3D%3D"}},
		{"dashes for slashes", http.MethodGet, "/dbs/--7-AA==", &resolved{"--7-AA==", "", "", "/dbs/--7-AA%3D%3D"}},
		{
			"a container", http.MethodGet, "/dbs/" + databaseRID + "/colls/" + containerRID,
			&resolved{databaseRID, containerRID, "", "/dbs/QicwAA%3D%3D/colls/QicwAMPXDQA%3D"},
		},
		{
			"an item", http.MethodGet, "/dbs/" + databaseRID + "/colls/" + containerRID + "/docs/" + itemRID,
			&resolved{databaseRID, containerRID, itemRID, "/dbs/QicwAA%3D%3D/colls/QicwAMPXDQA%3D/docs/QicwAMPXDQABAAAAAAAAAA%3D%3D"},
		},
		{
			"a conflict", http.MethodGet, "/dbs/" + databaseRID + "/colls/" + containerRID + "/conflicts/" + conflict,
			&resolved{databaseRID, containerRID, conflict, "/dbs/QicwAA%3D%3D/colls/QicwAMPXDQA%3D/conflicts/QicwAMPXDQABAAAAAAAAQA%3D%3D"},
		},
		{
			"a stored procedure", http.MethodPost, "/dbs/" + databaseRID + "/colls/" + containerRID + "/sprocs/" + procedure,
			&resolved{databaseRID, containerRID, procedure, "/dbs/QicwAA%3D%3D/colls/QicwAMPXDQA%3D/sprocs/QicwAMPXDQABAAAAAAAAgA%3D%3D"},
		},
		{"an item of another container", http.MethodGet, "/dbs/" + databaseRID + "/colls/" + containerRID + "/docs/" + otherItem, nil},
		{"a container of another database", http.MethodGet, "/dbs/" + otherDatabase + "/colls/" + containerRID, nil},
		{"a key range where an item belongs", http.MethodGet, "/dbs/" + databaseRID + "/colls/" + containerRID + "/docs/" + keyRange, nil},
		{"a user where a container belongs", http.MethodGet, "/dbs/" + databaseRID + "/colls/" + user, nil},
		{"an item where a container belongs", http.MethodGet, "/dbs/" + databaseRID + "/colls/" + itemRID, nil},
		{"a database RID above a container name", http.MethodGet, "/dbs/" + databaseRID + "/colls/orders/docs/1", nil},
		{"a database name above a container RID", http.MethodGet, "/dbs/shop/colls/" + otherContainer, nil},
		{"a container RID above an item name", http.MethodGet, "/dbs/" + databaseRID + "/colls/" + containerRID + "/docs/1", nil},
		{"a RID with white space that decoders skip", http.MethodGet, "/dbs/Qicw%20AA==", nil},
		{"a RID with an encoded slash for a dash", http.MethodGet, "/dbs/%2F-7-AA==", nil},
		{"an encryption key by RID", http.MethodGet, "/dbs/" + databaseRID + "/clientencryptionkeys/" + user, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			op, err := classify(t, sent{method: row.method, target: row.target})

			if row.want == nil {
				if got := nativeError(t, err).Status; got != http.StatusBadRequest {
					t.Errorf("got status %d, want 400", got)
				}

				return
			}

			if err != nil {
				t.Fatal(err)
			}

			if op.Database != "" || op.Container != "" || !op.NeedsResolution() {
				t.Errorf("RIDs were taken for names: %q, %q", op.Database, op.Container)
			}

			got := &resolved{op.DatabaseRID, op.ContainerRID, op.ID, op.UpstreamPath()}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}

			op.Resolve("shop", "orders")

			if op.NeedsResolution() {
				t.Error("a resolved operation still needs resolution")
			}
		})
	}
}

func TestMasterKeysSignTheLink(t *testing.T) {
	t.Parallel()

	for _, row := range []struct{ name, target, resourceType, link string }{
		{"the account signs nothing", "/", "", ""},
		{"the database feed", "/dbs", "dbs", ""},
		{"a database", "/dbs/shop", "dbs", "dbs/shop"},
		{"the container feed signs its database", "/dbs/shop/colls", "colls", "dbs/shop"},
		{"a container", container, "colls", "dbs/shop/colls/orders"},
		{"the item feed signs its container", items, "docs", "dbs/shop/colls/orders"},
		{"an item, unescaped and in its case", items + "/A%20b", "docs", "dbs/shop/colls/orders/docs/A b"},
		{"key ranges", container + "/pkranges", "pkranges", "dbs/shop/colls/orders"},
		{"a RID alone, in lower case", "/dbs/" + databaseRID + "/colls/" + containerRID + "/docs/" + itemRID, "docs", strings.ToLower(itemRID)},
		{"a feed by RID signs the parent", "/dbs/" + databaseRID + "/colls/" + containerRID + "/docs", "docs", strings.ToLower(containerRID)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			resourceType, link := classified(t, sent{method: http.MethodGet, target: row.target}).Signing()
			if resourceType != row.resourceType || link != row.link {
				t.Errorf("got %q, %q; want %q, %q", resourceType, link, row.resourceType, row.link)
			}
		})
	}
}

func TestRIDsKnowTheirParents(t *testing.T) {
	t.Parallel()

	child, err := cosmos.ParseRID(itemRID)
	if err != nil {
		t.Fatal(err)
	}

	got := []string{child.Database().String(), child.Container().String(), child.String()}
	if diff := cmp.Diff([]string{databaseRID, containerRID, itemRID}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	if child.Kind() != cosmos.ItemRID || child.Container().Kind() != cosmos.ContainerRID || child.Database().Kind() != cosmos.DatabaseRID {
		t.Error("a RID does not know its kind")
	}

	if !child.Database().Contains(child) || child.Contains(child) || child.Contains(child.Database()) || (cosmos.RID{}).Contains(child) {
		t.Error("containment is wrong")
	}

	if child.Database().Container() != (cosmos.RID{}) {
		t.Error("a database has a container")
	}
}
