package upstream

import (
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// Kind is the way an upstream identity proves itself to Microsoft Entra ID.
type Kind string

// The kinds of upstream identity.
const (
	// ManagedIdentity is the identity of the host that the gate runs on: the
	// system-assigned one, or the user-assigned one that ClientID names.
	ManagedIdentity Kind = "managed_identity"
	// WorkloadIdentity exchanges a Kubernetes service account token.
	WorkloadIdentity Kind = "workload_identity"
	// ClientCertificate signs an assertion with an application's certificate.
	ClientCertificate Kind = "client_certificate"
	// AzureCLI borrows the developer's own login. It needs AllowAzureCLI.
	AzureCLI Kind = "azure_cli"
)

// Errors that [New] joins into what it returns.
var (
	ErrUnknownKind     = errors.New("unknown kind of upstream identity")
	ErrMissingOption   = errors.New("option is required for this kind")
	ErrUselessOption   = errors.New("option has no meaning for this kind")
	ErrAzureCLIRefused = errors.New("azure_cli lends a person's login to every caller and needs the insecure option")
)

// Options describe one upstream identity. The zero value is refused.
type Options struct {
	// Kind decides which of the other fields apply.
	Kind Kind
	// ClientID is the application id. Empty selects the system-assigned
	// managed identity; ClientCertificate needs it. For WorkloadIdentity an
	// empty ClientID, TenantID or TokenFile is taken from the AZURE_ variables
	// that the platform sets.
	ClientID string
	// TenantID is the Entra tenant, for every kind but ManagedIdentity.
	TenantID string
	// TokenFile is the projected service account token that WorkloadIdentity
	// sends. It is read when a token is needed, not by New.
	TokenFile string
	// Certificate is the application's certificate chain with its private key,
	// as PEM or PKCS #12. New keeps the parsed key, never the bytes.
	Certificate []byte
	// CertificatePassword opens a PKCS #12 Certificate, if it is encrypted.
	CertificatePassword []byte
	// SendCertificateChain adds the chain to each assertion, as Entra's
	// subject-name-and-issuer matching requires.
	SendCertificateChain bool
	// AuthorityHost replaces the public cloud's token authority, for sovereign
	// and disconnected clouds. It must be an https URL.
	AuthorityHost string
	// DisableInstanceDiscovery trusts AuthorityHost without asking the public
	// cloud about it.
	DisableInstanceDiscovery bool
	// AllowAzureCLI permits AzureCLI. Its configuration name says "insecure".
	AllowAzureCLI bool
	// Transport carries the requests to the identity endpoint. Nil means
	// azcore's own. AzureCLI starts a process instead and ignores it.
	Transport policy.Transporter
	// Retry bounds how azcore repeats a failed token request. The zero value
	// means azidentity's own choice for the host.
	Retry policy.RetryOptions
}

// New returns the credential that o describes. It contacts nothing; every
// fault of o is reported at once.
func New(o Options) (azcore.TokenCredential, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	switch o.Kind {
	case ManagedIdentity:
		return o.managedIdentity()
	case WorkloadIdentity:
		return o.workloadIdentity()
	case ClientCertificate:
		return o.clientCertificate()
	case AzureCLI:
		return o.azureCLI()
	}
	return nil, fmt.Errorf("%q: %w", o.Kind, ErrUnknownKind)
}

func (o Options) validate() error {
	switch o.Kind {
	case ManagedIdentity:
		return errors.Join(
			o.useless("tenant id", o.TenantID != ""),
			o.useless("token file", o.TokenFile != ""),
			o.useless("certificate", len(o.Certificate) > 0),
		)
	case WorkloadIdentity:
		return o.useless("certificate", len(o.Certificate) > 0)
	case ClientCertificate:
		return errors.Join(
			o.required("client id", o.ClientID != ""),
			o.required("tenant id", o.TenantID != ""),
			o.required("certificate", len(o.Certificate) > 0),
			o.useless("token file", o.TokenFile != ""),
		)
	case AzureCLI:
		if !o.AllowAzureCLI {
			return ErrAzureCLIRefused
		}
		return errors.Join(
			o.useless("client id", o.ClientID != ""),
			o.useless("token file", o.TokenFile != ""),
			o.useless("certificate", len(o.Certificate) > 0),
		)
	}
	return fmt.Errorf("%q: %w", o.Kind, ErrUnknownKind)
}

func (o Options) required(option string, present bool) error {
	if present {
		return nil
	}
	return fmt.Errorf("%s: %s: %w", o.Kind, option, ErrMissingOption)
}

func (o Options) useless(option string, present bool) error {
	if !present {
		return nil
	}
	return fmt.Errorf("%s: %s: %w", o.Kind, option, ErrUselessOption)
}

func (o Options) clientOptions() azcore.ClientOptions {
	options := azcore.ClientOptions{Transport: o.Transport, Retry: o.Retry}
	if o.AuthorityHost != "" {
		options.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: o.AuthorityHost}
	}
	return options
}

func (o Options) managedIdentity() (azcore.TokenCredential, error) {
	options := azidentity.ManagedIdentityCredentialOptions{ClientOptions: o.clientOptions()}
	if o.ClientID != "" {
		options.ID = azidentity.ClientID(o.ClientID)
	}
	credential, err := azidentity.NewManagedIdentityCredential(&options)
	if err != nil {
		return nil, fmt.Errorf("building managed identity: %w", err)
	}
	return credential, nil
}

func (o Options) workloadIdentity() (azcore.TokenCredential, error) {
	credential, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions:            o.clientOptions(),
		ClientID:                 o.ClientID,
		TenantID:                 o.TenantID,
		TokenFilePath:            o.TokenFile,
		DisableInstanceDiscovery: o.DisableInstanceDiscovery,
	})
	if err != nil {
		return nil, fmt.Errorf("building workload identity: %w", err)
	}
	return credential, nil
}

func (o Options) clientCertificate() (azcore.TokenCredential, error) {
	chain, key, err := azidentity.ParseCertificates(o.Certificate, o.CertificatePassword)
	if err != nil {
		return nil, fmt.Errorf("parsing client certificate: %w", err)
	}
	credential, err := azidentity.NewClientCertificateCredential(o.TenantID, o.ClientID, chain, key,
		&azidentity.ClientCertificateCredentialOptions{
			ClientOptions:            o.clientOptions(),
			DisableInstanceDiscovery: o.DisableInstanceDiscovery,
			SendCertificateChain:     o.SendCertificateChain,
		})
	if err != nil {
		return nil, fmt.Errorf("building client certificate identity: %w", err)
	}
	return credential, nil
}

func (o Options) azureCLI() (azcore.TokenCredential, error) {
	credential, err := azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: o.TenantID})
	if err != nil {
		return nil, fmt.Errorf("building azure cli identity: %w", err)
	}
	return credential, nil
}
