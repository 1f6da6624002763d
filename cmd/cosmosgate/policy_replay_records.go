package main

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cosmosgate/cosmosgate/policy"
)

// replay decides recorded requests. Several goroutines read its engine and people; tallies are their own.
type replay struct {
	engine *policy.Engine
	people *people
	key    []byte
	total  *replayTally
}

// replayTally counts outcomes.
type replayTally struct {
	records     int
	same        int
	outcomes    map[string]int
	skipped     map[string]int
	differences map[difference]replayGroup
}

type replayGroup struct {
	count int
	first string
}

func newTally() *replayTally {
	return &replayTally{outcomes: map[string]int{}, skipped: map[string]int{}, differences: map[difference]replayGroup{}}
}

// add puts a later tally behind this one.
func (t *replayTally) add(later *replayTally) {
	t.records += later.records
	t.same += later.same
	for outcome, n := range later.outcomes {
		t.outcomes[outcome] += n
	}
	for reason, n := range later.skipped {
		t.skipped[reason] += n
	}
	for key, group := range later.differences {
		known, ok := t.differences[key]
		if !ok {
			known.first = group.first
		}
		known.count += group.count
		t.differences[key] = known
	}
}

// replayLine is what a decision needs of a record (docs/audit.md).
type replayLine struct {
	Event     string    `json:"event"`
	Time      time.Time `json:"ts"`
	ID        string    `json:"decision_id"`
	Principal *struct {
		Kind        string `json:"kind"`
		Record      string `json:"record"`
		Application string `json:"application"`
	} `json:"principal"`
	Actors []struct {
		Name string `json:"name"`
	} `json:"actors"`
	Source    string   `json:"source"`
	Operation string   `json:"operation"`
	Actions   []string `json:"actions"`
	Account   string   `json:"account"`
	Database  string   `json:"database"`
	Container string   `json:"container"`
	Keys      []string `json:"partition_keys"`
	Decision  string   `json:"decision"`
	Reason    string   `json:"reason"`
	Truncated bool     `json:"truncated"`
}

func readHashKey(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the hash key: %w", err)
	}
	return bytes.TrimRight(text, "\r\n"), nil
}

// file replays the records of a file, a block of lines for each goroutine.
func (r *replay) file(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("reading audit records: %w", err)
	}
	err = r.read(file)
	return errors.Join(err, file.Close())
}

func (r *replay) read(from io.Reader) error {
	const blockSize = 1 << 20
	source := bufio.NewReaderSize(from, blockSize)
	var tallies []*replayTally
	var running sync.WaitGroup
	places := make(chan struct{}, runtime.GOMAXPROCS(0))
	var fault error
	for fault == nil {
		block, err := readBlock(source, blockSize)
		if len(block) > 0 {
			t := newTally()
			tallies = append(tallies, t)
			places <- struct{}{}
			running.Go(func() {
				r.block(t, block)
				<-places
			})
		}
		if err != nil {
			fault = err
		}
	}
	running.Wait()
	for _, t := range tallies {
		r.total.add(t)
	}
	if errors.Is(fault, io.EOF) || errors.Is(fault, io.ErrUnexpectedEOF) {
		return nil
	}
	return fmt.Errorf("reading audit records: %w", fault)
}

// readBlock reads whole lines, about size bytes of them.
func readBlock(source *bufio.Reader, size int) ([]byte, error) {
	block := make([]byte, size)
	n, err := io.ReadFull(source, block)
	if err != nil {
		return block[:n], err //nolint:wrapcheck // the caller tells the end from a fault
	}
	rest, err := source.ReadBytes('\n')
	return slices.Concat(block, rest), err
}

func (r *replay) block(t *replayTally, block []byte) {
	for line := range bytes.Lines(block) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		t.records++
		var record replayLine
		if err := json.Unmarshal(line, &record); err != nil {
			t.skipped["the line is no whole record"]++
			continue
		}
		r.record(t, &record)
	}
}

func (r *replay) record(t *replayTally, l *replayLine) {
	h, who, skip := r.request(l)
	if skip != "" {
		t.skipped[skip]++
		return
	}
	d, certain := r.engine.DecideHashed(h)
	recorded := l.Decision == "allow"
	if certain && d.Allow == recorded {
		t.same++
		return
	}
	diff := difference{
		Who: who, Resource: h.Resource.String(), Actions: strings.Join(h.Actions.Names(), " "), Recorded: l.Decision, Reason: d.Reason.String(),
	}
	if l.Reason != "" && !recorded {
		diff.Recorded += " (" + l.Reason + ")"
	}
	switch {
	case !certain:
		diff.Outcome, diff.Reason = uncertain, "depends on the partition key"
	case d.Allow:
		diff.Outcome, diff.Reason = newlyAllowed, "role "+d.Role
	default:
		diff.Outcome = newlyDenied
	}
	t.outcomes[diff.Outcome]++
	group := t.differences[diff]
	if group.count == 0 {
		group.first = l.ID
	}
	group.count++
	t.differences[diff] = group
}

// unasked says why the policy had no say in a record; "" if it had.
func (l *replayLine) unasked() string {
	switch {
	case l.Event != "":
		return "no request for data"
	case l.Principal == nil:
		return "nobody was authenticated"
	case l.Decision == "error":
		return "the gate could not decide, or not act"
	case l.Decision == "deny" && afterwards(l.Reason):
		return "refused for its text, for the token's scopes, or for what its caller had used up"
	case l.Decision == "deny" && !policyReason(l.Reason):
		return "refused before the policy was asked"
	case len(l.Actions) == 0:
		return "answered whatever the policy says"
	default:
		return ""
	}
}

// request rebuilds the question that the policy was asked; skip says why it cannot be, or that the policy was not asked.
func (r *replay) request(l *replayLine) (h policy.Hashed, who, skip string) {
	if skip = l.unasked(); skip != "" {
		return h, "", skip
	}
	actions, err := policy.ParseActions(l.Actions...)
	if err != nil {
		return h, "", "it names an action that this version does not know"
	}
	key, missing := l.Principal.Record, "the person is not in the export, or may no longer sign in"
	switch l.Principal.Kind {
	case "application":
		key, missing = applicationKey(l.Principal.Application), "the candidate does not declare the application"
	case "agent":
		key, missing = agentEntry(l.Principal.Application), "the candidate does not declare the agent"
	}
	i, ok := r.people.byID[key]
	if !ok {
		return h, "", missing
	}
	source, _ := netip.ParseAddr(l.Source) // an unknown address is not valid, as in the gate
	h.Request = policy.Request{
		Principal: r.people.principals[i], Actions: actions,
		Resource: policy.Resource{Account: l.Account, Database: l.Database, Container: l.Container},
		NoData:   withoutData(l.Operation),
		Context:  policy.Context{SourceIP: source, Time: l.Time},
	}
	who = r.people.names[i]
	for _, actor := range l.Actors {
		h.Actors = append(h.Actors, policy.Principal{ID: actor.Name, Kind: policy.KindAgent})
		who += " by " + actor.Name
	}
	h.Injectable = h.SetsNoKey() && len(l.Keys) == 0
	h.Keys, h.Cut, h.Hash = l.Keys, l.Truncated && len(l.Keys) > 0, r.hash(l.Keys)
	return h, who, ""
}

// afterwards reports whether a denial came after the policy had allowed, or depends on what records do not hold.
func afterwards(reason string) bool {
	return reason == policy.ReasonRedaction.String() || reason == policy.ReasonScope.String() || reason == "maxRUPerSecond"
}

// policyReason reports whether a denial was the policy's.
func policyReason(reason string) bool {
	for _, known := range []policy.Reason{
		policy.ReasonNoRole, policy.ReasonPartitionKey, policy.ReasonMissingAttribute, policy.ReasonGuardrail,
		policy.ReasonEvaluation, policy.ReasonAgent,
	} {
		if reason == known.String() {
			return true
		}
	}
	return false
}

// withoutData reports whether an operation returns no documents, so that it needs no partition key (docs/cosmos-coverage.md).
func withoutData(operation string) bool {
	return slices.Contains([]string{"items/queryPlan", "pkranges/read", "addresses/read", "encryptionKeys/read"}, operation) ||
		strings.HasPrefix(operation, "databases/") || strings.HasPrefix(operation, "containers/")
}

// hash returns what makes hashes like the recorded ones, or nil.
func (r *replay) hash(recorded []string) func([]string) string {
	const kept = 16
	if len(recorded) == 0 {
		return nil
	}
	scheme, _, _ := strings.Cut(recorded[0], ":")
	switch {
	case scheme == "sha256":
		return func(key []string) string {
			sum := sha256.Sum256([]byte("[" + strings.Join(key, ",") + "]"))
			return "sha256:" + hex.EncodeToString(sum[:kept])
		}
	case scheme == "hmac" && len(r.key) > 0:
		return func(key []string) string {
			mac := hmac.New(sha256.New, r.key)
			_, _ = mac.Write([]byte("[" + strings.Join(key, ",") + "]")) // a hash never fails
			return "hmac:" + hex.EncodeToString(mac.Sum(nil)[:kept])
		}
	default:
		return nil
	}
}
