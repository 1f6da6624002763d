package deploy

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// CheckCertificates wants what certificates.sh made to be good, under the authority that everybody is given, for every name that
// a server is reached under.
func (d *Deployment) CheckCertificates(made string) Faults {
	var f Faults
	hosts := map[string][]string{gateService: {gateService}}
	for _, text := range []string{d.Config.Accounts[0].PublicURL, d.Config.SCIM.PublicURL} {
		hosts[gateService] = append(hosts[gateService], host(text))
	}
	hosts["keycloak"] = []string{host(d.Config.Issuers[0].URL)}
	for name, reached := range hosts {
		leaf, err := leafOf(made, name)
		if err != nil {
			f.add("%s: %v", name, err)
			continue
		}
		for _, h := range reached {
			_, err := leaf.Verify(x509.VerifyOptions{Roots: authority(made), DNSName: h})
			f.unless(err == nil, "%s: its certificate is not good for %s: %v", name, h, err)
		}
	}
	return f
}

func host(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func leafOf(made, name string) (*x509.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(made, name, "tls.crt"), filepath.Join(made, name, "tls.key"))
	if err != nil {
		return nil, fmt.Errorf("reading its certificate: %w", err)
	}
	return pair.Leaf, nil
}

// authority is what clients are given; if it cannot be read, it is empty, and nothing is good under it.
func authority(made string) *x509.CertPool {
	pool := x509.NewCertPool()
	if pem, err := os.ReadFile(filepath.Join(made, "seed", "ca.pem")); err == nil {
		pool.AppendCertsFromPEM(pem)
	}
	return pool
}
