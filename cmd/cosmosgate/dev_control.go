package main

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

// controlPath is where the stand-in takes orders that a real account takes elsewhere (role assignments) or
// nowhere (faults). No path of the data plane begins so, and the gate forwards none that does.
const controlPath = "/_stand-in/"

// controlFault is an emulator.Fault as JSON; delays are milliseconds.
type controlFault struct {
	Method       string `json:"method"`
	PathPrefix   string `json:"path_prefix"`
	Skip         int    `json:"skip"`
	Times        int    `json:"times"`
	DelayMS      int    `json:"delay_ms"`
	Status       int    `json:"status"`
	Substatus    int    `json:"substatus"`
	RetryAfterMS int    `json:"retry_after_ms"`
	ResetAfter   int    `json:"reset_after"`
}

// controlAssignment gives a managed identity of the development host a role.
type controlAssignment struct {
	Identity string `json:"identity"`
	Role     string `json:"role"`
	Scope    string `json:"scope"`
}

// controlRequest is one request that the stand-in got.
type controlRequest struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Status int    `json:"status"`
}

// devControl puts the control endpoint before the stand-in. Whoever holds the account key may use it, as a bearer token.
func devControl(stand *emulator.Emulator, key string) http.Handler {
	control := http.NewServeMux()
	control.HandleFunc("POST "+controlPath+"faults", func(w http.ResponseWriter, r *http.Request) {
		var f controlFault
		if !readOrder(w, r, &f) {
			return
		}
		stand.Inject(emulator.Fault{
			Method: f.Method, PathPrefix: f.PathPrefix, Skip: f.Skip, Times: f.Times,
			Delay: milliseconds(f.DelayMS), Status: f.Status, Substatus: f.Substatus,
			RetryAfter: milliseconds(f.RetryAfterMS), ResetAfter: f.ResetAfter,
		})
		w.WriteHeader(http.StatusNoContent)
	})
	control.HandleFunc("DELETE "+controlPath+"faults", func(w http.ResponseWriter, _ *http.Request) {
		stand.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
	})
	control.HandleFunc("POST "+controlPath+"assignments", func(w http.ResponseWriter, r *http.Request) {
		var a controlAssignment
		if !readOrder(w, r, &a) {
			return
		}
		if err := assign(stand, a); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	control.HandleFunc("GET "+controlPath+"requests", func(w http.ResponseWriter, _ *http.Request) {
		found := []controlRequest{}
		for _, one := range stand.Requests() {
			found = append(found, controlRequest{one.Method, one.Path, one.Status})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(found) // the caller may have gone
	})
	control.HandleFunc("DELETE "+controlPath+"requests", func(w http.ResponseWriter, _ *http.Request) {
		stand.ResetRequests()
		w.WriteHeader(http.StatusNoContent)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.HasPrefix(r.URL.Path, controlPath):
			stand.ServeHTTP(w, r)
		case subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+key)) != 1:
			http.Error(w, "the account key is needed, as a bearer token", http.StatusUnauthorized)
		default:
			control.ServeHTTP(w, r)
		}
	})
}

func readOrder(w http.ResponseWriter, r *http.Request, order any) bool {
	const bound = 64 << 10
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, bound))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(order); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

var errNoIdentity = errors.New("no managed identity of that name")

func assign(stand *emulator.Emulator, a controlAssignment) error {
	for _, i := range devIdentities(devHost) {
		if i.name == a.Identity {
			//nolint:wrapcheck // shown as it is
			return stand.AssignRole(emulator.RoleAssignment{PrincipalID: i.objectID, RoleID: a.Role, Scope: a.Scope})
		}
	}
	return fmt.Errorf("%w: %q", errNoIdentity, a.Identity)
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }
