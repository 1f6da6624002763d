import com.azure.cosmos.CosmosContainer;
import com.azure.cosmos.models.CosmosBatch;
import com.azure.cosmos.models.CosmosBatchItemRequestOptions;
import com.azure.cosmos.models.CosmosBatchOperationResult;
import com.azure.cosmos.models.CosmosBatchPatchItemRequestOptions;
import com.azure.cosmos.models.CosmosBatchResponse;
import com.azure.cosmos.models.CosmosBulkOperationResponse;
import com.azure.cosmos.models.CosmosBulkOperations;
import com.azure.cosmos.models.CosmosChangeFeedRequestOptions;
import com.azure.cosmos.models.CosmosItemIdentity;
import com.azure.cosmos.models.CosmosItemOperation;
import com.azure.cosmos.models.CosmosItemRequestOptions;
import com.azure.cosmos.models.CosmosItemResponse;
import com.azure.cosmos.models.CosmosPatchItemRequestOptions;
import com.azure.cosmos.models.CosmosPatchOperations;
import com.azure.cosmos.models.CosmosQueryRequestOptions;
import com.azure.cosmos.models.FeedRange;
import com.azure.cosmos.models.FeedResponse;
import com.azure.cosmos.models.PartitionKey;
import com.azure.cosmos.models.PartitionKeyBuilder;
import com.azure.cosmos.models.SqlParameter;
import com.azure.cosmos.models.SqlQuerySpec;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** One step of a case in azure-cosmos. */
final class Steps {
    private final Main session;
    private final JsonNode step;
    private final String principal;

    Steps(Main session, JsonNode step, String principal) {
        this.session = session;
        this.step = step;
        this.principal = principal;
    }

    ObjectNode run() {
        String id = step.path("id").asText();
        return switch (step.path("op").asText()) {
            case "create" -> answer(container().createItem(step.path("item"), key(step.path("pk")), options()));
            case "upsert" -> answer(container().upsertItem(step.path("item"), key(step.path("pk")), options()));
            case "read" -> answer(container().readItem(id, key(step.path("pk")), options(), JsonNode.class));
            case "replace" -> answer(container().replaceItem(step.path("item"), id, key(step.path("pk")), options()));
            case "delete" -> answer(container().deleteItem(id, key(step.path("pk")), options()));
            case "patch" -> patch();
            case "query" -> query();
            case "read_many" -> readMany();
            case "batch" -> batch();
            case "bulk" -> bulk();
            case "change_feed" -> changeFeed();
            case "all_versions" -> allVersions();
            case "read_container" -> readContainer();
            case "read_database" -> readDatabase();
            default -> throw new Main.Unsupported("azure-cosmos has no call for " + step.path("op").asText());
        };
    }

    private CosmosContainer container() {
        JsonNode place = session.place(step.path("container").asText());
        return session.client(step, principal).getDatabase(place.path("database").asText())
            .getContainer(place.path("container").asText());
    }

    /** Turns the plan's key components into what the SDK takes. */
    private static PartitionKey key(JsonNode components) {
        if (components.size() == 1 && components.get(0).isObject()) {
            return PartitionKey.NONE;
        }
        PartitionKeyBuilder builder = new PartitionKeyBuilder();
        for (JsonNode one : components) {
            switch (one.getNodeType()) {
                case NULL -> builder.addNullValue();
                case NUMBER -> builder.add(one.asDouble());
                case BOOLEAN -> builder.add(one.asBoolean());
                case STRING -> builder.add(one.asText());
                default -> throw new Main.Unsupported("azure-cosmos has no such key component");
            }
        }
        return builder.build();
    }

    private CosmosItemRequestOptions options() {
        return conditions(new CosmosItemRequestOptions());
    }

    private <T extends CosmosItemRequestOptions> T conditions(T options) {
        if (step.has("if_match")) {
            options.setIfMatchETag(session.tag(step.path("if_match")));
        }
        if (step.has("if_none_match")) {
            options.setIfNoneMatchETag(session.tag(step.path("if_none_match")));
        }
        if (step.path("minimal").asBoolean()) {
            options.setContentResponseOnWriteEnabled(false);
        }
        return options;
    }

    /** Builds the result of a point call. */
    private ObjectNode answer(CosmosItemResponse<?> response) {
        ObjectNode result = Main.JSON.createObjectNode().put("status", response.getStatusCode());
        result.set("seen", Main.seen(response.getResponseHeaders()));
        if (response.getItem() instanceof JsonNode item && !item.isEmpty()) {
            result.set("item", item);
        }
        if (step.has("save")) {
            session.saved.put(step.path("save").asText(), response.getETag());
        }
        return result;
    }

    private static CosmosPatchOperations operations(JsonNode list) {
        CosmosPatchOperations found = CosmosPatchOperations.create();
        for (JsonNode one : list) {
            String path = one.path("path").asText();
            JsonNode value = one.path("value");
            switch (one.path("op").asText()) {
                case "add" -> found.add(path, value);
                case "set" -> found.set(path, value);
                case "replace" -> found.replace(path, value);
                case "remove" -> found.remove(path);
                case "incr" -> found.increment(path, value.asLong());
                case "move" -> found.move(one.path("from").asText(), path);
                default -> throw new Main.Unsupported("azure-cosmos has no PATCH operation " + one.path("op").asText());
            }
        }
        return found;
    }

    private ObjectNode patch() {
        CosmosPatchItemRequestOptions options = conditions(new CosmosPatchItemRequestOptions());
        if (step.has("condition")) {
            options.setFilterPredicate(step.path("condition").asText());
        }
        return answer(container().patchItem(step.path("id").asText(), key(step.path("pk")),
            operations(step.path("operations")), options, JsonNode.class));
    }

    private ObjectNode query() {
        CosmosQueryRequestOptions options = new CosmosQueryRequestOptions();
        if (step.has("pk")) {
            options.setPartitionKey(key(step.path("pk")));
        }
        List<SqlParameter> parameters = new ArrayList<>();
        for (JsonNode one : step.path("parameters")) {
            Object value = Main.JSON.convertValue(one.path("value"), Object.class);
            parameters.add(new SqlParameter(one.path("name").asText(), value));
        }
        SqlQuerySpec spec = new SqlQuerySpec(step.path("query").asText(), parameters);
        int size = step.path("max").asInt(100);
        ObjectNode result = Main.JSON.createObjectNode().put("status", 200);
        ArrayNode items = result.putArray("items");
        ArrayNode pages = result.putArray("pages");
        String token = null;
        do {
            String from = token;
            token = null;
            for (FeedResponse<JsonNode> page
                : container().queryItems(spec, options, JsonNode.class).iterableByPage(from, size)) {
                page.getResults().forEach(item -> items.add(plain(item)));
                pages.add(page.getResults().size());
                result.set("seen", Main.seen(page.getResponseHeaders()));
                token = page.getContinuationToken();
                if (step.path("resume").asBoolean()) {
                    break;
                }
            }
        } while (step.path("resume").asBoolean() && token != null);
        return result;
    }

    /** The SDK wraps a scalar so that it fits a node of JSON. */
    private static JsonNode plain(JsonNode item) {
        return item.size() == 1 && item.has("_value") ? item.path("_value") : item;
    }

    private ObjectNode readMany() {
        List<CosmosItemIdentity> identities = new ArrayList<>();
        for (JsonNode one : step.path("ids")) {
            identities.add(new CosmosItemIdentity(key(one.path("pk")), one.path("id").asText()));
        }
        List<JsonNode> found = new ArrayList<>(container().readMany(identities, JsonNode.class).getResults());
        found.sort(Comparator.comparing(item -> item.path("id").asText()));
        ObjectNode result = Main.JSON.createObjectNode().put("status", 200);
        found.forEach(result.putArray("items")::add);
        return result;
    }

    private ObjectNode batch() {
        CosmosBatch batch = CosmosBatch.createCosmosBatch(key(step.path("pk")));
        for (JsonNode one : step.path("operations")) {
            add(batch, one);
        }
        CosmosBatchResponse response = container().executeCosmosBatch(batch);
        ObjectNode result = Main.JSON.createObjectNode().put("status", response.getStatusCode());
        ArrayNode results = result.putArray("results");
        for (CosmosBatchOperationResult one : response.getResults()) {
            results.add(outcome(one.getStatusCode(), one.getItem(JsonNode.class)));
        }
        if (!response.isSuccessStatusCode() && response.getResults().isEmpty()) {
            result.put("message", response.getErrorMessage());
        }
        return result;
    }

    private void add(CosmosBatch batch, JsonNode one) {
        CosmosBatchItemRequestOptions options = new CosmosBatchItemRequestOptions();
        if (one.has("if_match")) {
            options.setIfMatchETag(session.tag(one.path("if_match")));
        }
        String id = one.path("id").asText();
        switch (one.path("op").asText()) {
            case "create" -> batch.createItemOperation(one.path("item"), options);
            case "upsert" -> batch.upsertItemOperation(one.path("item"), options);
            case "read" -> batch.readItemOperation(id, options);
            case "replace" -> batch.replaceItemOperation(id, one.path("item"), options);
            case "delete" -> batch.deleteItemOperation(id, options);
            default -> batch.patchItemOperation(id, operations(one.path("operations")),
                new CosmosBatchPatchItemRequestOptions());
        }
    }

    private static ObjectNode outcome(int status, JsonNode item) {
        ObjectNode result = Main.JSON.createObjectNode().put("status", status);
        if (item != null && !item.isEmpty()) {
            result.set("item", item);
        }
        return result;
    }

    /** Bulk answers arrive in any order: each carries its position. */
    private ObjectNode bulk() {
        List<CosmosItemOperation> operations = new ArrayList<>();
        for (JsonNode one : step.path("operations")) {
            operations.add(bulkOperation(one, operations.size()));
        }
        Map<Integer, ObjectNode> found = new HashMap<>();
        for (CosmosBulkOperationResponse<Integer> one : container().<Integer>executeBulkOperations(operations)) {
            found.put(one.getBatchContext() != null ? one.getBatchContext() : one.getOperation().getContext(),
                one.getResponse() == null ? Main.failure(one.getException())
                    : outcome(one.getResponse().getStatusCode(), one.getResponse().getItem(JsonNode.class)));
        }
        ObjectNode result = Main.JSON.createObjectNode().put("status", 200);
        ArrayNode results = result.putArray("results");
        for (int i = 0; i < operations.size(); i++) {
            results.add(found.get(i));
        }
        return result;
    }

    private static CosmosItemOperation bulkOperation(JsonNode one, Integer position) {
        String id = one.path("id").asText();
        PartitionKey key = key(one.path("pk"));
        return switch (one.path("op").asText()) {
            case "create" -> CosmosBulkOperations.getCreateItemOperation(one.path("item"), key, position);
            case "upsert" -> CosmosBulkOperations.getUpsertItemOperation(one.path("item"), key, position);
            case "read" -> CosmosBulkOperations.getReadItemOperation(id, key, position);
            case "replace" -> CosmosBulkOperations.getReplaceItemOperation(id, one.path("item"), key, position);
            case "delete" -> CosmosBulkOperations.getDeleteItemOperation(id, key, position);
            default -> CosmosBulkOperations.getPatchItemOperation(id, key, operations(one.path("operations")), position);
        };
    }

    private ObjectNode changeFeed() {
        FeedRange range = step.has("pk") ? FeedRange.forLogicalPartition(key(step.path("pk"))) : FeedRange.forFullRange();
        CosmosChangeFeedRequestOptions options = CosmosChangeFeedRequestOptions.createForProcessingFromBeginning(range);
        if (step.has("max")) {
            options.setMaxItemCount(step.path("max").asInt());
        }
        ObjectNode result = Main.JSON.createObjectNode().put("status", 200);
        ArrayNode items = result.putArray("items");
        ArrayNode pages = result.putArray("pages");
        for (FeedResponse<JsonNode> page : container().queryChangeFeed(options, JsonNode.class).iterableByPage()) {
            if (page.getResults().isEmpty()) {
                break;
            }
            page.getResults().forEach(items::add);
            pages.add(page.getResults().size());
        }
        return result;
    }

    private ObjectNode allVersions() {
        CosmosChangeFeedRequestOptions options =
            CosmosChangeFeedRequestOptions.createForProcessingFromNow(FeedRange.forFullRange()).allVersionsAndDeletes();
        String from = null;
        for (FeedResponse<JsonNode> page : container().queryChangeFeed(options, JsonNode.class).iterableByPage()) {
            from = page.getContinuationToken();
            if (page.getResults().isEmpty()) {
                break;
            }
        }
        step.path("then").forEach(one -> session.step(one, principal));
        ObjectNode result = Main.JSON.createObjectNode().put("status", 200);
        ArrayNode items = result.putArray("items");
        options = CosmosChangeFeedRequestOptions.createForProcessingFromContinuation(from).allVersionsAndDeletes();
        for (FeedResponse<JsonNode> page : container().queryChangeFeed(options, JsonNode.class).iterableByPage()) {
            if (page.getResults().isEmpty()) {
                break;
            }
            for (JsonNode one : page.getResults()) {
                ObjectNode item = items.addObject().put("operation", one.path("metadata").path("operationType").asText());
                item.set("n", one.path("current").path("n"));
            }
        }
        return result;
    }

    private ObjectNode readContainer() {
        ObjectNode result = Main.JSON.createObjectNode();
        var response = container().read();
        ArrayNode paths = result.put("status", response.getStatusCode()).putObject("item").putArray("partitionKey");
        response.getProperties().getPartitionKeyDefinition().getPaths().forEach(paths::add);
        return result;
    }

    private ObjectNode readDatabase() {
        JsonNode place = session.place(step.path("container").asText());
        var response = session.client(step, principal).getDatabase(place.path("database").asText()).read();
        ObjectNode result = Main.JSON.createObjectNode().put("status", response.getStatusCode());
        result.putObject("item").put("id", response.getProperties().getId());
        return result;
    }
}
