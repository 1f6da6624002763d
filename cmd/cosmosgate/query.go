package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/credential"
	"github.com/cosmosgate/cosmosgate/internal/terminal"
)

// query is one question of an engineer.
type query struct {
	engineer

	account, database, container string
	sql, id                      string
	keys, params, columns        []string
	maxItems, pageSize           int
	output                       string
	explainAccess                bool
}

const defaultMaxItems = 1000

func newQuery() *cobra.Command {
	var q query
	cmd := &cobra.Command{
		Use:   "query DATABASE/CONTAINER [SQL]",
		Short: "Run a query or a point read through the gate",
		Long: `Runs a query with the official SDK as you, or reads one document by --id and --pk. Without SQL it reads every document;
with - it reads the query from standard input. Documents go to standard output, everything else to standard error.

A partition key is text, or JSON where text could be mistaken: 5 and "5" are different keys. Hierarchical keys take --pk once
a level. A query without --pk goes to every partition, which a role confined to a partition does not allow.`,
		Example: `  cosmosgate query shop/orders "SELECT c.id, c.total FROM c WHERE c.total > 100" --pk emea
  cosmosgate query shop/orders --id 1001 --pk emea -o json
  cosmosgate query shop/orders "SELECT * FROM c WHERE c.status = @s" --param s=open --pk emea
  cosmosgate query shop/orders --max-items 0 -o jsonl > orders.jsonl
  cosmosgate query shop/carts --pk t1 --pk u1 --explain-access`,
		Args:              cobra.RangeArgs(1, 2), //nolint:mnd // the container, and the query
		ValidArgsFunction: q.completeContainers,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := q.read(cmd.InOrStdin(), args); err != nil {
				return err
			}
			return q.run(cmd)
		},
	}
	q.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&q.account, "account", "", "account of the gate, if it has several")
	f.StringVar(&q.id, "id", "", "read the one document with this id; needs --pk")
	f.StringArrayVar(&q.keys, "pk", nil, "partition key, text or JSON (repeat it for each level of a hierarchical one)")
	f.StringArrayVar(&q.params, "param", nil, "parameter of the query, name=VALUE, text or JSON (repeatable)")
	f.StringSliceVar(&q.columns, "columns", nil, "members to show in tables and CSV, in this order")
	f.IntVar(&q.maxItems, "max-items", defaultMaxItems, "most documents to fetch; 0 fetches all")
	f.IntVar(&q.pageSize, "page-size", 0, "most documents in one answer (default: as the service chooses)")
	f.BoolVar(&q.explainAccess, "explain-access", false, "if the gate refuses, say what you may do there instead")
	outputFlag(cmd, &q.output, outputTable, outputJSON, string(terminal.Lines), outputCSV)
	return cmd
}

var (
	errContainerName = errors.New("is not DATABASE/CONTAINER")
	errPointRead     = errors.New("--id reads one document: it needs --pk and takes no query")
	errCount         = errors.New("must not be negative")

	errCrossPartition = errors.New("this query needs its partitions merged, which the service leaves to the SDK, and the Go SDK to others")
)

// read takes the arguments.
func (q *query) read(stdin io.Reader, args []string) error {
	var ok bool
	q.database, q.container, ok = strings.Cut(args[0], "/")
	var faults []error
	if !ok || q.database == "" || q.container == "" || strings.Contains(q.container, "/") {
		faults = append(faults, fmt.Errorf("%q %w", args[0], errContainerName))
	}
	q.sql = "SELECT * FROM c"
	switch {
	case q.id != "" && (len(args) > 1 || len(q.keys) == 0):
		faults = append(faults, errPointRead)
	case len(args) > 1 && args[1] == "-":
		const longest = 512 << 10
		text, err := io.ReadAll(io.LimitReader(stdin, longest))
		faults = append(faults, err)
		q.sql = string(text)
	case len(args) > 1:
		q.sql = args[1]
	}
	if q.maxItems < 0 || q.pageSize < 0 {
		faults = append(faults, fmt.Errorf("--max-items and --page-size %w", errCount))
	}
	return errors.Join(faults...)
}

func (q *query) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	key, err := sdkPartitionKey(q.keys)
	if err != nil {
		return err
	}
	params, err := parameters(q.params)
	if err != nil {
		return err
	}
	c, err := q.signedIn(ctx)
	if err != nil {
		return err
	}
	client, err := q.cosmosClient(ctx, c, q.account)
	if err != nil {
		return err
	}
	container, err := client.NewContainer(q.database, q.container)
	if err != nil {
		return failed(fmt.Errorf("preparing the SDK: %w", err), "")
	}
	out, err := q.documents(cmd.OutOrStdout())
	if err != nil {
		return err
	}
	done := &fetched{progress: terminal.NewProgress(cmd.ErrOrStderr(), time.Now), began: time.Now()}
	if q.id != "" {
		err = done.point(ctx, container, key, q.id, out)
	} else {
		err = done.pages(ctx, container.NewQueryItemsPager(q.sql, key, q.options(params)), q.maxItems, out)
	}
	done.progress.Done()
	if err != nil {
		done.broken(cmd.ErrOrStderr(), out)
		return q.refusal(ctx, c, err)
	}
	if err := out.Close(); err != nil {
		return failed(err, "")
	}
	return done.summary(cmd.ErrOrStderr(), out)
}

func (q *query) options(params []azcosmos.QueryParameter) *azcosmos.QueryOptions {
	o := &azcosmos.QueryOptions{QueryParameters: params, PageSizeHint: -1}
	const mostInPage = 1 << 20
	switch size := min(q.pageSize, mostInPage); {
	case size > 0:
		o.PageSizeHint = int32(size)
	case q.maxItems > 0 && q.maxItems <= defaultMaxItems:
		o.PageSizeHint = int32(q.maxItems) // what is not shown need not be read and paid for
	}
	return o
}

func (q *query) documents(w io.Writer) (*terminal.Documents, error) {
	o := terminal.Options{Format: terminal.Format(q.output), Columns: q.columns}
	if terminal.IsTerminal(w) {
		const readable = 60
		o.MaxCell = readable
	}
	d, err := terminal.NewDocuments(w, o)
	if err != nil {
		return nil, failed(err, "")
	}
	return d, nil
}

// fetched counts what came.
type fetched struct {
	progress *terminal.Progress
	began    time.Time
	answers  int
	charge   float64
	more     bool
}

// documentPager is the SDK's pager.
type documentPager interface {
	More() bool
	NextPage(ctx context.Context) (azcosmos.QueryItemsResponse, error)
}

// pages writes pages as they come, until there are as many documents as were asked for.
func (f *fetched) pages(ctx context.Context, pager documentPager, most int, out *terminal.Documents) error {
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return err //nolint:wrapcheck // explained by the caller
		}
		f.answers++
		f.charge += float64(page.RequestCharge)
		items := page.Items
		if most > 0 && out.Written()+len(items) >= most {
			f.more = out.Written()+len(items) > most || pager.More()
			return failedOutput(out.Add(items[:most-out.Written()]))
		}
		if err := out.Add(items); err != nil {
			return failedOutput(err)
		}
		f.progress.Report(out.Written(), f.charge)
	}
	return nil
}

func (f *fetched) point(ctx context.Context, c *azcosmos.ContainerClient, key azcosmos.PartitionKey, id string, out *terminal.Documents) error {
	answer, err := c.ReadItem(ctx, key, id, nil)
	if err != nil {
		return err //nolint:wrapcheck // explained by the caller
	}
	f.charge = float64(answer.RequestCharge)
	return failedOutput(out.Add([][]byte{answer.Value}))
}

func failedOutput(err error) error {
	if err != nil {
		return failed(err, "")
	}
	return nil
}

// broken says what an export that did not end has cost, and that it is not whole. Before the first answer there is nothing to say.
func (f *fetched) broken(w io.Writer, out *terminal.Documents) {
	if f.answers > 0 {
		p := &printer{w: w}
		p.line("%s; there is more: the output is not whole", f.sum(out))
	}
}

func (f *fetched) sum(out *terminal.Documents) string {
	text := fmt.Sprintf("%d items", out.Written())
	if out.Written() == 1 {
		text = "1 item"
	}
	if f.answers > 1 {
		text += fmt.Sprintf(" in %d pages", f.answers)
	}
	return fmt.Sprintf("%s, %s, %s", text, terminal.Charge(f.charge), time.Since(f.began).Round(time.Millisecond))
}

// summary says what it cost, and what was left out.
func (f *fetched) summary(w io.Writer, out *terminal.Documents) error {
	p := &printer{w: w}
	p.line("%s", f.sum(out))
	if f.more {
		p.line("hint: there is more; raise --max-items, 0 fetches all")
	}
	if out.Missed() {
		p.line("hint: some documents have members that are not shown; name them with --columns, or use -o jsonl")
	}
	return p.done()
}

// refusal explains an answer that is no success, and on demand what the engineer may do instead.
func (q *query) refusal(ctx context.Context, c *credential.Credential, err error) error {
	answer, ok := errors.AsType[*azcore.ResponseError](err)
	short := withHint(shortened(err))
	if !ok {
		return short
	}
	var known *failure
	if !errors.As(short, &known) {
		return short
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		return whyNot(ctx, c, known)
	case http.StatusForbidden:
		known.hint = "run it again with --explain-access to see what you may do there"
		if q.explainAccess {
			return q.explain(ctx, c, known)
		}
	case http.StatusBadRequest:
		if strings.Contains(answer.Error(), "cross partition query can not be directly served") {
			known.err = errCrossPartition
			known.hint = "name one partition with --pk, or use an SDK that merges the partitions itself (.NET, Java, JavaScript, Python)"
		}
	case http.StatusNotFound:
		known.hint = "run cosmosgate ls to see which databases and containers there are for you"
		if q.id != "" {
			known.hint = "no document has this id under this partition key, or there is no such container: cosmosgate ls lists them"
		}
	}
	return known
}

// sdkPartitionKey reads --pk: text, or JSON that is a number, true, false, null or text in quotes. None means every partition.
func sdkPartitionKey(values []string) (azcosmos.PartitionKey, error) {
	key := azcosmos.NewPartitionKey()
	for _, text := range values {
		switch value := literal(text).(type) {
		case string:
			key = key.AppendString(value)
		case float64:
			key = key.AppendNumber(value)
		case bool:
			key = key.AppendBool(value)
		case nil:
			key = key.AppendNull()
		default:
			return key, fmt.Errorf("--pk %s %w", text, errKeyValue)
		}
	}
	return key, nil
}

var (
	errKeyValue = errors.New("is neither text nor a number, true, false or null")
	errParam    = errors.New("is not name=VALUE")
)

// literal is what text means: JSON if it is, else itself.
func literal(text string) any {
	var value any
	if json.Unmarshal([]byte(text), &value) != nil {
		return text
	}
	return value
}

func parameters(texts []string) ([]azcosmos.QueryParameter, error) {
	var all []azcosmos.QueryParameter
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--param %q %w", text, errParam)
		}
		all = append(all, azcosmos.QueryParameter{Name: "@" + strings.TrimPrefix(name, "@"), Value: literal(value)})
	}
	return all, nil
}
