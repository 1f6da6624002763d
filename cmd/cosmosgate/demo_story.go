package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"golang.org/x/oauth2"
)

// tell is the story. Each scene is a real call; the first untrue one ends it.
func tell(ctx context.Context, s *stage, r *ready, startup time.Duration) error {
	client, err := trustingClient(r.CA)
	if err != nil {
		return err
	}
	idp := push{client, &r.SCIM}
	nina, err := actor(ctx, client, r, "nina")
	if err != nil {
		return err
	}
	bob, err := actor(ctx, client, r, "bob")
	if err != nil {
		return err
	}
	s.chapter("A gate, an identity provider and a Cosmos DB stand-in started in %s", startup.Round(time.Millisecond))
	s.out.line("  gate %s, SCIM %s, identity provider %s", r.Gate.Endpoint, r.SCIM.URL, r.Issuer)

	s.chapter("Nina is hired today. She can sign in, but nobody has told the directory about her")
	if err := s.scene("nina reads order 1001", nina.read(ctx, "emea", "1001"), outcome{status: http.StatusUnauthorized, substatus: substatusRevoked}); err != nil {
		return err
	}

	s.chapter("The company directory pushes her over SCIM: the person, then her group")
	pushed := time.Now()
	id, err := idp.hire(ctx, &devPerson{
		name: "nina", display: "Nina Novak", id: nina.id, department: "emea", active: true,
	})
	if err == nil {
		err = idp.addMember(ctx, groupID(r, groupReaders), id)
	}
	if err != nil {
		return err
	}
	// azcosmos keeps the error of its first account read as long as the client lives, so her program starts anew.
	if nina, err = actor(ctx, client, r, "nina"); err != nil {
		return err
	}
	first := nina.read(ctx, "emea", "1001")
	if err := s.scene("nina reads order 1001", first, outcome{status: http.StatusOK, contains: "Kraków"}); err != nil {
		return err
	}
	s.out.line("  %s", s.paint(bold, fmt.Sprintf("from the first push to her first read: %s", time.Since(pushed).Round(time.Millisecond/10))))

	if err := tellAccess(ctx, s, nina, bob); err != nil {
		return err
	}
	helper, err := tellAgent(ctx, s, client, r)
	if err != nil {
		return err
	}

	s.chapter("Nina leaves. The directory says active: false")
	pushed = time.Now()
	if err := idp.setActive(ctx, id, false); err != nil {
		return err
	}
	answered := time.Since(pushed)
	if err := s.scene("nina reads order 1001, same token", nina.read(ctx, "emea", "1001"), outcome{status: http.StatusUnauthorized, substatus: substatusRevoked}); err != nil {
		return err
	}
	if err := s.scene("her agent reads it, same token", helper.read(ctx, "emea", "1001"), outcome{status: http.StatusUnauthorized, substatus: substatusRevoked}); err != nil {
		return err
	}
	s.out.line("  %s", s.paint(bold, fmt.Sprintf("SCIM answered in %s; the very next request was refused", answered.Round(time.Millisecond/10))))
	return tellRecord(s, r, id)
}

// substatusRevoked is what a caller whom the directory does not vouch for is told.
const substatusRevoked = 5013

// tellAccess shows what a role gives, and where it ends.
func tellAccess(ctx context.Context, s *stage, nina, bob *visitor) error {
	s.chapter("Her role reads her own department's partition, and nothing else")
	emea, amer := azcosmos.NewPartitionKeyString("emea"), azcosmos.NewPartitionKeyString("amer")
	scenes := []struct {
		what string
		came outcome
		want outcome
	}{
		{"nina queries her partition", nina.query(ctx, emea), outcome{status: http.StatusOK, rows: 3}},
		{"nina queries another partition", nina.query(ctx, amer), outcome{status: http.StatusForbidden, contains: "executeQuery"}},
		{"nina queries without a partition", nina.query(ctx, azcosmos.NewPartitionKey()), outcome{status: http.StatusForbidden, contains: "executeQuery"}},
		{"nina writes an order", nina.write(ctx, "emea", "1009"), outcome{status: http.StatusForbidden, substatus: substatusData, contains: "items/create"}},
		{"bob, a writer, writes it", bob.write(ctx, "emea", "1009"), outcome{status: http.StatusCreated}},
		{"nina queries her partition again", nina.query(ctx, emea), outcome{status: http.StatusOK, rows: 4}},
	}
	for _, x := range scenes {
		if err := s.scene(x.what, x.came, x.want); err != nil {
			return err
		}
	}
	return nil
}

// tellAgent shows that an agent does what its person may do, and nothing more, whatever it was granted.
func tellAgent(ctx context.Context, s *stage, client *http.Client, r *ready) (*visitor, error) {
	s.chapter("An AI agent exchanges her token for one by which it acts for her. It is granted all of the shop: she is not")
	nina, err := devToken(ctx, client, r, "nina")
	if err != nil {
		return nil, err
	}
	token, err := delegate(ctx, client, r, nina.AccessToken, "")
	if err != nil {
		return nil, err
	}
	helper, err := visitorWith(client, r, token)
	if err != nil {
		return nil, err
	}
	return helper, errors.Join(
		s.scene("for nina, "+devAgent+" reads order 1001", helper.read(ctx, "emea", "1001"), outcome{status: http.StatusOK, contains: "Kraków"}),
		s.scene("for nina, it reads another partition", helper.read(ctx, "amer", "2001"), outcome{status: http.StatusForbidden, contains: "items/read"}),
	)
}

// substatusData is the native code for a data action that no role gives.
const substatusData = 5302

// tellRecord shows that all of it was written down.
func tellRecord(s *stage, r *ready, person string) error {
	s.chapter("The record of it all (%s)", r.Audit)
	const patience = 3 * time.Second
	var rows [][]string
	for until := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		var err error
		if rows, err = recordOf(r.Audit); err != nil {
			return err
		}
		if len(rows) >= expectedRecords || time.Now().After(until) {
			break
		}
	}
	if len(rows) < expectedRecords {
		return fmt.Errorf("%w: %d records, want at least %d", errStory, len(rows), expectedRecords)
	}
	s.out.table(append([][]string{{"TIME", "WHO", "OPERATION", "RESOURCE", "DECISION", "ROLE", "IDENTITY", "STATUS", "RU"}}, rows...))
	s.out.line("\nEvery step was true. Nina's directory record was %s.", person)
	return s.out.done()
}

// expectedRecords counts the scenes: one before the push, one after, six of access, two of the agent, two after leaving.
const expectedRecords = 12

// recordOf reads what the gate recorded about items.
func recordOf(path string) ([][]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the record: %w", err)
	}
	var rows [][]string
	for l := range strings.Lines(string(text)) {
		var e auditLine
		if err := json.Unmarshal([]byte(l), &e); err != nil {
			return nil, fmt.Errorf("reading the record: %w", err)
		}
		if row := e.row(); row != nil {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// visitor is a person with a Cosmos SDK client of their own.
type visitor struct {
	id     string
	orders *azcosmos.ContainerClient
}

// oidcToken hands the SDK a token of the gate's identity provider.
type oidcToken func(ctx context.Context) (azcore.AccessToken, error)

func (f oidcToken) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return f(ctx)
}

// actor gives one of the development people an SDK client: endpoint and credential are all that differs from Cosmos DB's.
func actor(ctx context.Context, client *http.Client, r *ready, name string) (*visitor, error) {
	token, err := devToken(ctx, client, r, name)
	if err != nil {
		return nil, err
	}
	v, err := visitorWith(client, r, token)
	if err != nil {
		return nil, err
	}
	for _, p := range r.People {
		if p.Name == name {
			v.id = p.ExternalID
		}
	}
	return v, nil
}

// visitorWith gives whoever holds a token an SDK client.
func visitorWith(client *http.Client, r *ready, token *oauth2.Token) (*visitor, error) {
	credential := oidcToken(func(context.Context) (azcore.AccessToken, error) {
		return azcore.AccessToken{Token: token.AccessToken, ExpiresOn: token.Expiry}, nil
	})
	c, err := azcosmos.NewClient(r.Gate.Endpoint, credential, &azcosmos.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: client}})
	if err != nil {
		return nil, fmt.Errorf("making a Cosmos client: %w", err)
	}
	orders, err := c.NewContainer(devDatabase, "orders")
	if err != nil {
		return nil, fmt.Errorf("making a Cosmos client: %w", err)
	}
	return &visitor{orders: orders}, nil
}

func (v *visitor) read(ctx context.Context, department, id string) outcome {
	return timed(func() (int, []string, error) {
		resp, err := v.orders.ReadItem(ctx, azcosmos.NewPartitionKeyString(department), id, nil)
		return status(resp.RawResponse), []string{string(withoutSystem(resp.Value))}, err
	})
}

func (v *visitor) write(ctx context.Context, department, id string) outcome {
	return timed(func() (int, []string, error) {
		body := fmt.Sprintf(`{"id":%q,"department":%q,"customer":"Nina's first","total":1,"status":"open"}`, id, department)
		resp, err := v.orders.CreateItem(ctx, azcosmos.NewPartitionKeyString(department), []byte(body), nil)
		return status(resp.RawResponse), nil, err
	})
}

func (v *visitor) query(ctx context.Context, key azcosmos.PartitionKey) outcome {
	return timed(func() (int, []string, error) {
		var rows []string
		last := 0
		for pages := v.orders.NewQueryItemsPager("SELECT c.id, c.department, c.total FROM c", key, nil); pages.More(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return 0, nil, err //nolint:wrapcheck // the SDK's own error is what is shown
			}
			last = status(page.RawResponse)
			for _, item := range page.Items {
				rows = append(rows, string(item))
			}
		}
		return last, rows, nil
	})
}

func status(r *http.Response) int {
	if r == nil {
		return 0
	}
	return r.StatusCode
}

// timed turns a call into its outcome; an SDK error shows what the SDK's user sees of it.
func timed(call func() (int, []string, error)) outcome {
	begun := time.Now()
	code, lines, err := call()
	o := outcome{status: code, lines: lines, took: time.Since(begun)}
	var refused *azcore.ResponseError
	switch {
	case errors.As(err, &refused):
		o.status, o.lines = refused.StatusCode, []string{nativeMessage(refused)}
		o.substatus, _ = strconv.Atoi(refused.RawResponse.Header.Get("x-ms-substatus")) // absent means none
	case err != nil:
		o.status, o.lines = 0, []string{err.Error()}
	}
	return o
}

// nativeMessage is the message of the error body, which the SDK keeps readable.
func nativeMessage(e *azcore.ResponseError) string {
	var body struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if err := json.NewDecoder(e.RawResponse.Body).Decode(&body); err != nil {
		return e.Error()
	}
	return body.Code + ": " + strings.ReplaceAll(strings.TrimSpace(body.Message), "\r\n", " ")
}

// withoutSystem drops the properties that the database adds, for reading.
func withoutSystem(item []byte) []byte {
	var m map[string]json.RawMessage
	if json.Unmarshal(item, &m) != nil {
		return item
	}
	for k := range m {
		if strings.HasPrefix(k, "_") {
			delete(m, k)
		}
	}
	short, err := json.Marshal(m)
	if err != nil {
		return item
	}
	return short
}

func groupID(r *ready, external string) string {
	for _, g := range r.Groups {
		if g.ExternalID == external {
			return g.ID
		}
	}
	return ""
}
