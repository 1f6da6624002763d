// Package doctor looks at the way from an engineer to their data, step by step, and says at each step what is wrong and what to do.
//
// The steps are in the order in which a request meets them. A step that failed makes those that need it be skipped, so that the
// first failure is the one to look at.
package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/cosmosgate/cosmosgate/credential"
)

// Status is what came of a check.
type Status string

// The statuses.
const (
	OK      Status = "ok"
	Warning Status = "warning"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Result is what one check found.
type Result struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Fix    string `json:"fix,omitempty"`
}

// Config is what is looked at. Everything but Azure, ResourceID and Exported is required.
type Config struct {
	// Gate is the gate, Authorities the PEM certificates trusted for it besides the system's.
	Gate        *url.URL
	Authorities []byte
	// Credential is the engineer's, which asks nobody to sign in.
	Credential *credential.Credential
	// Clock tells the time.
	Clock func() time.Time

	// ResourceID is the account at Azure Resource Manager, /subscriptions/…; empty: its settings are not looked at. Azure signs in
	// there, and Exported is the output of policy export to compare role assignments with, if any.
	ResourceID string
	Azure      azcore.TokenCredential
	AzureHTTP  policy.Transporter // nil: the SDK's own
	Exported   []byte
}

// patient bounds each check.
const patient = 15 * time.Second

// visit is one run; each check reads what the earlier ones left.
type visit struct {
	Config

	transport *http.Transport
	guide     *credential.Guide
	who       *credential.WhoAmI
	date      time.Time // of the gate's answer
	asked     time.Time // when it came
}

type check struct {
	name  string
	needs *bool // must be true, else the check is skipped
	run   func(context.Context) Result
	sets  *bool // becomes true if the check did not fail
}

// Run makes every check and tells each result as it comes.
func Run(ctx context.Context, c Config, tell func(Result)) error {
	transport, err := credential.Transport(c.Authorities)
	if err != nil {
		return err //nolint:wrapcheck // says what it is about
	}
	v := &visit{Config: c, transport: transport}
	defer transport.CloseIdleConnections()
	var reached, trusted, guided, signedIn, known, allowed bool
	yes := true
	for _, one := range []check{
		{"gate reachable", &yes, v.reach, &reached},
		{"certificate", &reached, v.certificate, &trusted},
		{"guide", &trusted, v.readGuide, &guided},
		{"clock", &guided, v.clock, nil},
		{"identity provider", &guided, v.issuer, nil},
		{"sign-in", &guided, v.signIn, &signedIn},
		{"directory record", &signedIn, v.record, &known},
		{"policy", &known, v.policy, &allowed},
		{"an allowed read", &allowed, v.read, nil},
		{"ways round the gate", &yes, v.around, nil},
	} {
		result := Result{Status: Skipped, Found: "an earlier step failed"}
		if *one.needs {
			bounded, cancel := context.WithTimeout(ctx, patient)
			result = one.run(bounded)
			cancel()
			if one.sets != nil {
				*one.sets = result.Status == OK || result.Status == Warning
			}
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx) //nolint:wrapcheck // why the caller ended it
		}
		result.Check = one.name
		tell(result)
	}
	return nil
}

func ok(format string, args ...any) Result {
	return Result{Status: OK, Found: fmt.Sprintf(format, args...)}
}

func failed(err error, fix string) Result {
	return Result{Status: Failed, Found: err.Error(), Fix: fix}
}

func warning(found, fix string) Result { return Result{Status: Warning, Found: found, Fix: fix} }

func (v *visit) address() string {
	if v.Gate.Port() == "" {
		return net.JoinHostPort(v.Gate.Hostname(), "443")
	}
	return v.Gate.Host
}

// reach opens a connection, the way that a proxy of the environment is used for included.
func (v *visit) reach(ctx context.Context) Result {
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: v.Gate}); err == nil && proxy != nil {
		return ok("by the proxy %s", proxy.Host)
	}
	began := v.Clock()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", v.address())
	if err != nil {
		fix := "is the gate running, and may this network reach it?"
		if _, unknown := errors.AsType[*net.DNSError](err); unknown {
			fix = "check the host name in --gate, and this machine's DNS or VPN"
		}
		return failed(err, fix)
	}
	_ = conn.Close() // it was only tried
	return ok("%s in %s", conn.RemoteAddr(), v.Clock().Sub(began).Round(time.Millisecond))
}

// soon is when an expiring certificate is worth a word.
const soon = 14 * 24 * time.Hour

func (v *visit) certificate(ctx context.Context) Result {
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: v.Gate}); err == nil && proxy != nil {
		return ok("checked with the guide, through the proxy")
	}
	dialer := &tls.Dialer{Config: v.transport.TLSClientConfig.Clone()}
	dialer.Config.ServerName = v.Gate.Hostname()
	conn, err := dialer.DialContext(ctx, "tcp", v.address())
	if err != nil {
		return failed(err, fixCertificate(err))
	}
	defer conn.Close() //nolint:errcheck // it was only looked at
	secure, is := conn.(*tls.Conn)
	if !is || len(secure.ConnectionState().PeerCertificates) == 0 {
		return failed(errNoCertificate, "")
	}
	leaf := secure.ConnectionState().PeerCertificates[0]
	left := leaf.NotAfter.Sub(v.Clock())
	found := fmt.Sprintf("of %s, by %s, until %s", v.Gate.Hostname(), leaf.Issuer.CommonName, leaf.NotAfter.Format(time.DateOnly))
	if left < soon {
		return warning(found, "whoever runs the gate should renew its certificate soon")
	}
	return Result{Status: OK, Found: found}
}

var errNoCertificate = errors.New("the gate shows no certificate")

func fixCertificate(err error) string {
	if _, other := errors.AsType[x509.HostnameError](err); other {
		return "use the host name that the certificate is for"
	}
	if invalid, is := errors.AsType[x509.CertificateInvalidError](err); is && invalid.Reason == x509.Expired {
		return "compare this machine's clock; else whoever runs the gate must renew its certificate"
	}
	return "if the gate has a private authority, sign in with cosmosgate login --ca FILE"
}

func (v *visit) httpClient() *http.Client {
	return &http.Client{Transport: v.transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (v *visit) readGuide(ctx context.Context) Result {
	c := v.httpClient()
	c.Transport = dated{v.transport, func(date time.Time) { v.date, v.asked = date, v.Clock() }}
	g, err := credential.ReadGuide(ctx, c, v.Gate)
	if err != nil {
		return failed(err, "point --gate at an account of a cosmosgate: the URL that SDKs use")
	}
	v.guide = g
	names := make([]string, len(g.Accounts))
	for i := range g.Accounts {
		names[i] = g.Accounts[i].Name
	}
	return ok("accounts %s", strings.Join(names, ", "))
}

// dated looks at the date of answers.
type dated struct {
	http.RoundTripper

	saw func(time.Time)
}

// RoundTrip implements [http.RoundTripper].
func (d dated) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err //nolint:wrapcheck // the contract of the interface
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		d.saw(date)
	}
	return resp, nil
}

// clock compares clocks: tokens are refused that seem to be of the future or of the past.
func (v *visit) clock(context.Context) Result {
	if v.date.IsZero() {
		return warning("the gate tells no time", "")
	}
	const much, tooMuch = 30 * time.Second, 5 * time.Minute // the gate allows a minute
	skew := v.asked.Sub(v.date)
	found := fmt.Sprintf("%s off the gate's", skew.Round(time.Second))
	switch {
	case skew.Abs() < much:
		return ok("like the gate's")
	case skew.Abs() < tooMuch:
		return warning(found, "set this machine's clock, or let it be set from the network")
	default:
		return Result{Status: Failed, Found: found, Fix: "set this machine's clock: tokens will be refused"}
	}
}
