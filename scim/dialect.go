package scim

import "strings"

// The providers that requests can be told to come from.
const (
	dialectEntra     = "entra"
	dialectOkta      = "okta"
	dialectOneLogin  = "onelogin"
	dialectJumpCloud = "jumpcloud"
	dialectPing      = "ping"
	dialectGoogle    = "google"
	dialectSailPoint = "sailpoint"
)

// clientWords are parts of User-Agents, in small letters.
var clientWords = []struct{ word, dialect string }{
	{"okta", dialectOkta}, {"onelogin", dialectOneLogin}, {"jumpcloud", dialectJumpCloud}, {"pingone", dialectPing},
	{"pingfederate", dialectPing}, {"google", dialectGoogle}, {"sailpoint", dialectSailPoint}, {"azure", dialectEntra},
	{"microsoft", dialectEntra}, {"entra", dialectEntra},
}

// detected is what a request gives away about its sender.
type detected struct {
	// dialect is empty if nothing was recognised.
	dialect string
	// form tells Entra's two ways of writing PATCH apart: legacy or flag.
	form string
}

// detect recognises a provider by what it says of itself, by its own URNs and
// by the verbs of its operations. It is advice for people; nothing is decided
// by it.
func detect(userAgent, rawQuery string, body map[string]any) detected {
	if containsFold(rawQuery, "aadOptscim062020") {
		return detected{dialectEntra, "flag"}
	}
	client := strings.ToLower(userAgent)
	for _, c := range clientWords {
		if c.dialect != dialectEntra && strings.Contains(client, c.word) {
			return detected{dialect: c.dialect}
		}
	}
	if schemas, ok := body["schemas"].([]any); ok {
		for _, urn := range schemas {
			switch s, _ := urn.(string); {
			case strings.EqualFold(s, urnMicrosoftGroup):
				return detected{dialectEntra, ""}
			case strings.HasPrefix(strings.ToLower(s), "urn:scim:schemas:"):
				return detected{dialect: dialectOneLogin}
			}
		}
	}
	if form := entraForm(body); form != "" {
		return detected{dialectEntra, form}
	}
	for _, c := range clientWords {
		if strings.Contains(client, c.word) {
			return detected{dialect: c.dialect}
		}
	}
	return detected{}
}

// entraForm recognises the capitalised verbs of Entra's legacy form.
func entraForm(body map[string]any) string {
	operations, _ := body["Operations"].([]any)
	for _, o := range operations {
		object, _ := o.(map[string]any)
		switch object["op"] {
		case "Add", "Replace", "Remove":
			return "legacy"
		}
	}
	return ""
}

func containsFold(s, part string) bool { return indexFold(s, part) >= 0 }
