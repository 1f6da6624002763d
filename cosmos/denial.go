package cosmos

import (
	"net/http"
	"strings"
)

// The substatus of a 403.
const (
	substatusImpossible   = 5300
	substatusMetadata     = 5301
	substatusData         = 5302
	substatusDataByRID    = 5303
	substatusUnresolvable = 5304
)

// Denial is what a caller may know about a refusal by policy.
type Denial struct {
	// Account is the published account name and Principal the caller's own id.
	Account, Principal string
	// Missing are the actions no role granted; all of the operation's if empty.
	Missing Actions
	// Hint says how to get the grant, in one or two sentences; it is appended as it is.
	Hint string
}

// Denied is 403/5301 for metadata, 403/5302 for data by name and 403/5303 for data by RID, in the words that tools match.
func Denied(op *Operation, d Denial) *Error {
	missing := d.Missing
	if missing == 0 {
		missing = op.Actions
	}

	var text strings.Builder

	text.WriteString("Request blocked by Auth ")
	text.WriteString(d.Account)
	text.WriteString(" : Request is blocked because principal [")
	text.WriteString(d.Principal)
	text.WriteString("] does not have required RBAC permissions to perform action [")
	writeNativeNames(&text, missing)

	if resource := op.addressed(); resource != "" {
		text.WriteString("] on resource [")
		text.WriteString(resource)
		text.WriteString("].")
	} else {
		text.WriteString("] on any scope.")
	}

	if d.Hint != "" {
		text.WriteByte(' ')
		text.WriteString(d.Hint)
	}

	return forbidden(deniedSubstatus(op, missing), text.String(), "denied by policy")
}

func deniedSubstatus(op *Operation, missing Actions) int {
	switch {
	case missing == ReadMetadata:
		return substatusMetadata
	case op.DatabaseRID != "":
		return substatusDataByRID
	default:
		return substatusData
	}
}

func writeNativeNames(text *strings.Builder, actions Actions) {
	first := true

	for bit := range actionCount {
		one := Actions(1) << bit
		if actions&one == 0 {
			continue
		}

		if !first {
			text.WriteString(", ")
		}

		first = false

		text.WriteString(nativeName(one))
	}
}

// Unresolvable is 403/5304: the RIDs of the request name nothing the gate knows.
func Unresolvable(op *Operation) *Error {
	return forbidden(substatusUnresolvable,
		"Request is blocked because the resource id ["+op.Resource()+"] does not belong to a known resource. "+
			"Address the resource by name.",
		"resource id cannot be resolved")
}

// Impossible is 403/5300: no Entra identity can do this in the data plane.
func Impossible(method, path string) *Error {
	return forbidden(substatusImpossible,
		"The given request ["+method+" "+path+"] cannot be authorized by AAD token in data plane.",
		"natively impossible with a token")
}

// DirectMode is the 403/5301 for /addresses, which tells users of .NET and Java to switch to gateway mode.
func DirectMode() *Error {
	return forbidden(substatusMetadata,
		"Direct connectivity is not available through this gateway. Use gateway mode: "+
			"CosmosClientOptions.ConnectionMode = ConnectionMode.Gateway (.NET) or "+
			"CosmosClientBuilder.gatewayMode() (Java).",
		"direct mode refused")
}

// Unsupported is the 403/5302 for an operation that the gate never forwards although the service has it.
func Unsupported(operation string) *Error {
	return forbidden(substatusData, "This gateway does not forward "+operation+".", "never forwarded: "+operation)
}

func forbidden(substatus int, message, reason string) *Error {
	return &Error{
		Status: http.StatusForbidden, Substatus: substatus, Code: codeForbidden, Message: message, Reason: reason,
	}
}
