package main

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// do takes one step.
func (s *session) do(ctx context.Context, one step) (result, error) {
	client, err := s.client(one)
	if err != nil {
		return result{}, err
	}
	address := s.plan.Containers[one.Container]
	switch one.Op {
	case "read_database":
		return readDatabase(ctx, client, address)
	case "list_containers":
		return listContainers(ctx, client, address)
	case "list_databases":
		return listDatabases(ctx, client)
	}
	container, err := client.NewContainer(address.Database, address.Container)
	if err != nil {
		return result{}, err
	}
	switch one.Op {
	case "query":
		return query(ctx, container, one)
	case "read_many":
		return readMany(ctx, container, one)
	case "batch":
		return s.batch(ctx, container, one)
	case "change_feed":
		return changeFeed(ctx, container, one)
	case "read_container":
		return readContainer(ctx, container)
	case "read_all":
		return result{}, unsupportedError("azcosmos has no read-feed call")
	case "all_versions":
		return result{}, unsupportedError("azcosmos has no change feed of all versions")
	case "bulk":
		return result{}, unsupportedError("azcosmos has no bulk call")
	}
	return s.point(ctx, container, one)
}

// point takes the steps that address one item.
func (s *session) point(ctx context.Context, container *azcosmos.ContainerClient, one step) (result, error) {
	if one.IfNoneMatch != nil {
		return result{}, unsupportedError("azcosmos has no If-None-Match option")
	}
	key, err := partitionKey(one.PK)
	if err != nil {
		return result{}, err
	}
	options := &azcosmos.ItemOptions{EnableContentResponseOnWrite: !one.Minimal, IfMatchEtag: s.tag(one.IfMatch)}
	var response azcosmos.ItemResponse
	switch one.Op {
	case "create":
		response, err = container.CreateItem(ctx, key, one.Item, options)
	case "upsert":
		response, err = container.UpsertItem(ctx, key, one.Item, options)
	case "read":
		response, err = container.ReadItem(ctx, key, one.ID, options)
	case "replace":
		response, err = container.ReplaceItem(ctx, key, one.ID, one.Item, options)
	case "delete":
		response, err = container.DeleteItem(ctx, key, one.ID, options)
	case "patch":
		var operations azcosmos.PatchOperations
		if operations, err = patch(one.Operations, one.Condition); err != nil {
			return result{}, err
		}
		response, err = container.PatchItem(ctx, key, one.ID, operations, options)
	default:
		return result{}, unsupportedError("azcosmos has no call for " + one.Op)
	}
	if err != nil {
		return result{}, err
	}
	found := answer(response.Response)
	found.Item = response.Value
	return found, nil
}

// answer builds the result of a call that succeeded.
func answer(response azcosmos.Response) result {
	return result{
		Status: response.RawResponse.StatusCode,
		Seen:   seen(response.RawResponse.Header),
		etag:   response.ETag,
	}
}

// seen names the volatile headers that an answer carried, without values.
func seen(header http.Header) []string {
	var names []string
	for header0, short := range map[string]string{
		"Etag": "etag", "X-Ms-Session-Token": "session", "X-Ms-Request-Charge": "charge", "X-Ms-Activity-Id": "activity",
	} {
		if header.Get(header0) != "" {
			names = append(names, short)
		}
	}
	slices.Sort(names)
	return names
}

// tag resolves $name to the entity tag saved under that name.
func (s *session) tag(value *string) *azcore.ETag {
	if value == nil {
		return nil
	}
	tag := azcore.ETag(*value)
	if name, ok := strings.CutPrefix(*value, "$"); ok {
		tag = s.saved[name]
	}
	return &tag
}

// partitionKey turns the plan's key components into what the SDK takes.
func partitionKey(components []any) (azcosmos.PartitionKey, error) {
	key := azcosmos.NewPartitionKey()
	for _, one := range components {
		switch v := one.(type) {
		case nil:
			key = key.AppendNull()
		case string:
			key = key.AppendString(v)
		case float64:
			key = key.AppendNumber(v)
		case bool:
			key = key.AppendBool(v)
		default:
			return key, unsupportedError("azcosmos has no undefined partition key")
		}
	}
	return key, nil
}

func patch(operations []operation, condition *string) (azcosmos.PatchOperations, error) {
	var found azcosmos.PatchOperations
	for _, one := range operations {
		switch one.Kind {
		case "add":
			found.AppendAdd(one.Path, one.Value)
		case "set":
			found.AppendSet(one.Path, one.Value)
		case "replace":
			found.AppendReplace(one.Path, one.Value)
		case "remove":
			found.AppendRemove(one.Path)
		case "incr":
			amount, ok := one.Value.(float64)
			if !ok || amount != float64(int64(amount)) {
				return found, unsupportedError("azcosmos increments by whole numbers only")
			}
			found.AppendIncrement(one.Path, int64(amount))
		default:
			return found, unsupportedError("azcosmos has no PATCH operation " + one.Kind)
		}
	}
	if condition != nil {
		found.SetCondition(*condition)
	}
	return found, nil
}

// query reads every page, from a continuation token each if the step asks.
func query(ctx context.Context, container *azcosmos.ContainerClient, one step) (result, error) {
	key, err := partitionKey(one.PK)
	if err != nil {
		return result{}, err
	}
	options := azcosmos.QueryOptions{PageSizeHint: one.Max}
	for _, p := range one.Parameters {
		options.QueryParameters = append(options.QueryParameters, azcosmos.QueryParameter{Name: p.Name, Value: p.Value})
	}
	found := result{Items: []json.RawMessage{}, Pages: []int{}}
	pager := container.NewQueryItemsPager(one.Query, key, &options)
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return result{}, err
		}
		last := answer(page.Response)
		found.Status, found.Seen = last.Status, last.Seen
		for _, item := range page.Items {
			found.Items = append(found.Items, item)
		}
		found.Pages = append(found.Pages, len(page.Items))
		if !one.Resume {
			continue
		}
		if page.ContinuationToken == nil || *page.ContinuationToken == "" {
			break
		}
		resumed := options
		resumed.ContinuationToken = page.ContinuationToken
		pager = container.NewQueryItemsPager(one.Query, key, &resumed)
	}
	return found, nil
}

func readMany(ctx context.Context, container *azcosmos.ContainerClient, one step) (result, error) {
	var ids []azcosmos.ItemIdentity
	for _, id := range one.IDs {
		key, err := partitionKey(id.PK)
		if err != nil {
			return result{}, err
		}
		ids = append(ids, azcosmos.ItemIdentity{ID: id.ID, PartitionKey: key})
	}
	response, err := container.ReadManyItems(ctx, ids, nil)
	if err != nil {
		return result{}, err
	}
	found := result{Status: http.StatusOK, Items: []json.RawMessage{}}
	for _, item := range response.Items {
		found.Items = append(found.Items, item)
	}
	slices.SortFunc(found.Items, func(a, b json.RawMessage) int { return strings.Compare(itemID(a), itemID(b)) })
	return found, nil
}

func itemID(item json.RawMessage) string {
	var named struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(item, &named) != nil {
		return ""
	}
	return named.ID
}

func (s *session) batch(ctx context.Context, container *azcosmos.ContainerClient, one step) (result, error) {
	key, err := partitionKey(one.PK)
	if err != nil {
		return result{}, err
	}
	batch := container.NewTransactionalBatch(key)
	for _, o := range one.Operations {
		options := &azcosmos.TransactionalBatchItemOptions{IfMatchETag: s.tag(o.IfMatch)}
		switch o.Kind {
		case "create":
			batch.CreateItem(o.Item, options)
		case "upsert":
			batch.UpsertItem(o.Item, options)
		case "read":
			batch.ReadItem(o.ID, options)
		case "replace":
			batch.ReplaceItem(o.ID, o.Item, options)
		case "delete":
			batch.DeleteItem(o.ID, options)
		case "patch":
			operations, err := patch(o.Operations, o.Condition)
			if err != nil {
				return result{}, err
			}
			batch.PatchItem(o.ID, operations, options)
		}
	}
	response, err := container.ExecuteTransactionalBatch(ctx, batch,
		&azcosmos.TransactionalBatchOptions{EnableContentResponseOnWrite: true})
	if err != nil {
		return result{}, err
	}
	found := answer(response.Response)
	found.Results = []result{}
	for _, r := range response.OperationResults {
		entry := result{Status: int(r.StatusCode), Item: r.ResourceBody}
		found.Results = append(found.Results, entry)
	}
	return found, nil
}

// changeFeed reads every range of the container from the beginning until the
// service says that there is nothing more.
func changeFeed(ctx context.Context, container *azcosmos.ContainerClient, one step) (result, error) {
	ranges, err := container.ReadFeedRanges(ctx, nil)
	if err != nil {
		return result{}, err
	}
	found := result{Items: []json.RawMessage{}, Pages: []int{}}
	for i := range ranges {
		options := azcosmos.ChangeFeedOptions{FeedRange: &ranges[i], MaxItemCount: one.Max}
		if one.PK != nil {
			key, err := partitionKey(one.PK)
			if err != nil {
				return result{}, err
			}
			options.PartitionKey = &key
		}
		for {
			page, err := container.ReadChangeFeed(ctx, &options)
			if err != nil {
				return result{}, err
			}
			found.Status = page.RawResponse.StatusCode
			if found.Status == http.StatusNotModified {
				found.Seen = seen(page.RawResponse.Header)
				break
			}
			for _, item := range page.Items {
				found.Items = append(found.Items, item)
			}
			found.Pages = append(found.Pages, page.Count)
			options.Continuation = &page.ContinuationToken
		}
	}
	return found, nil
}

func readContainer(ctx context.Context, container *azcosmos.ContainerClient) (result, error) {
	response, err := container.Read(ctx, nil)
	if err != nil {
		return result{}, err
	}
	found := answer(response.Response)
	found.Item, err = json.Marshal(map[string]any{
		"partitionKey": response.ContainerProperties.PartitionKeyDefinition.Paths,
	})
	return found, err
}

func readDatabase(ctx context.Context, client *azcosmos.Client, address place) (result, error) {
	database, err := client.NewDatabase(address.Database)
	if err != nil {
		return result{}, err
	}
	response, err := database.Read(ctx, nil)
	if err != nil {
		return result{}, err
	}
	found := answer(response.Response)
	found.Item, err = json.Marshal(map[string]any{"id": response.DatabaseProperties.ID})
	return found, err
}

func listContainers(ctx context.Context, client *azcosmos.Client, address place) (result, error) {
	database, err := client.NewDatabase(address.Database)
	if err != nil {
		return result{}, err
	}
	found := result{Status: http.StatusOK, Items: []json.RawMessage{}}
	pager := database.NewQueryContainersPager("SELECT * FROM c", nil)
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return result{}, err
		}
		for _, one := range page.Containers {
			found.Items = append(found.Items, quoted(one.ID))
		}
	}
	return found, nil
}

func listDatabases(ctx context.Context, client *azcosmos.Client) (result, error) {
	found := result{Status: http.StatusOK, Items: []json.RawMessage{}}
	pager := client.NewQueryDatabasesPager("SELECT * FROM c", nil)
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return result{}, err
		}
		for _, one := range page.Databases {
			found.Items = append(found.Items, quoted(one.ID))
		}
	}
	return found, nil
}

func quoted(text string) json.RawMessage {
	quotedText, err := json.Marshal(text)
	if err != nil {
		return json.RawMessage("null")
	}
	return quotedText
}
