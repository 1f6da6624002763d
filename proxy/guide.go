package proxy

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
)

// The paths that the gate answers for people's tools. No path of the data plane begins so.
const (
	// GuidePath tells anybody how to sign in.
	GuidePath = "/.well-known/cosmosgate"
	// WhoAmIPath tells a caller who the gate takes them for and what they may do.
	WhoAmIPath = GuidePath + "/whoami"
)

// The names of these requests in the record and in metrics.
const (
	operationGuide  = "ReadGuide"
	operationWhoAmI = "WhoAmI"
)

// guideName returns the name of a request for people's tools, or nothing for a request of the data plane. Only the exact
// spelling counts; whatever else looks like it is left to the data path, which refuses it.
func (p *Proxy) guideName(r *http.Request) string {
	if r.Method != http.MethodGet || p.cfg.Guide == nil || r.URL.RawPath != "" || r.URL.RawQuery != "" || r.URL.ForceQuery || r.URL.Host != "" {
		return ""
	}
	switch r.URL.Path {
	case GuidePath:
		return operationGuide
	case WhoAmIPath:
		return operationWhoAmI
	default:
		return ""
	}
}

// guide answers a request for people's tools. It is recorded like any other.
func (p *Proxy) guide(c *call) {
	if err := p.admitGuide(c); err != nil {
		p.refuse(c, err)
		return
	}
	if c.guide == operationWhoAmI {
		p.whoAmI(c)
		return
	}
	if err := p.enter(c); err != nil { // a guide may be long, and be read slowly
		p.refuse(c, err)
		return
	}
	c.verdict = audit.Allow
	c.w.Header().Set("Cache-Control", "public, max-age=300")
	p.answerGuide(c, http.StatusOK, p.cfg.Guide)
}

// admitGuide checks what the data path would check before it authenticates anybody.
func (p *Proxy) admitGuide(c *call) error {
	if c.crowded {
		return cosmos.Busy(busyRetryAfter)
	}
	if c.account, c.keyID = p.accountOf(c.r.Host); c.account == nil {
		return cosmos.Malformed("the host name of the request belongs to no account")
	}
	if c.r.ContentLength != 0 || len(c.r.Header["Host"]) > 0 {
		return cosmos.Malformed("a request for the guide has a body or a second host")
	}
	for _, nominated := range c.r.Header["Connection"] {
		if strings.Contains(strings.ToLower(nominated), "authorization") {
			return cosmos.Malformed("Connection names the credential")
		}
	}
	return p.reserve(c)
}

// answerGuide sends a document of the gate's own.
func (p *Proxy) answerGuide(c *call, status int, document []byte) {
	h := c.w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(document))}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h[headerActivityID] = []string{c.activityID}
	c.outcome = outcomeAnswered
	if status >= http.StatusBadRequest {
		c.outcome = audit.Refused
	}
	p.boundWrite(c)
	c.w.WriteHeader(status)
	if _, err := c.w.Write(document); err != nil {
		c.clientGone(err)
	}
}
