import com.azure.core.credential.AccessToken;
import com.azure.core.credential.TokenCredential;
import com.azure.core.credential.TokenRequestContext;
import com.azure.cosmos.CosmosClient;
import com.azure.cosmos.CosmosClientBuilder;
import com.azure.cosmos.CosmosException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.PrintStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import reactor.core.publisher.Mono;

/**
 * Runs the conformance cases with azure-cosmos in gateway mode.
 *
 * <p>Reads one plan (JSON) from standard input and writes one line of JSON per case to standard output. The plan, the
 * steps and the results are described in ../../../README.md. The authority of the endpoint arrives as the trust store
 * of the machine, so that the SDK's own transport is used.
 */
public final class Main {
    static final ObjectMapper JSON = new ObjectMapper();

    private final JsonNode plan;
    private final Map<String, CosmosClient> clients = new HashMap<>();
    final Map<String, String> saved = new HashMap<>();

    private Main(JsonNode plan) {
        this.plan = plan;
    }

    public static void main(String[] arguments) throws IOException {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        Main session = new Main(JSON.readTree(System.in));
        for (JsonNode one : session.plan.path("cases")) {
            session.announce(one.path("name").asText());
            ArrayNode steps = JSON.createArrayNode();
            for (JsonNode step : one.path("steps")) {
                steps.add(session.step(step, step.path("as").asText(one.path("as").asText())));
            }
            ObjectNode line = JSON.createObjectNode();
            line.set("case", one.path("name"));
            line.set("steps", steps);
            out.println(JSON.writeValueAsString(line));
        }
        out.flush();
        System.exit(0); // the SDK's threads would keep the machine alive
    }

    /** Tells the recorder, if there is one, which case begins. */
    private void announce(String name) throws IOException {
        if (!plan.hasNonNull("case_url")) {
            return;
        }
        URI uri = URI.create(plan.path("case_url").asText() + URLEncoder.encode(name, StandardCharsets.UTF_8));
        HttpURLConnection connection = (HttpURLConnection) uri.toURL().openConnection();
        connection.getResponseCode();
        connection.disconnect();
    }

    /** Runs one step and returns its result. */
    ObjectNode step(JsonNode step, String principal) {
        try {
            return new Steps(this, step, principal).run();
        } catch (Unsupported error) {
            return JSON.createObjectNode().put("unsupported", error.getMessage());
        } catch (RuntimeException error) {
            return failure(error);
        }
    }

    /** Says what the SDK's own exception exposes. */
    static ObjectNode failure(Throwable error) {
        ObjectNode result = JSON.createObjectNode().put("type", error.getClass().getSimpleName());
        Throwable cause = error;
        while (cause != null && !(cause instanceof CosmosException)) {
            cause = cause.getCause(); // a client that can't be built wraps the service's answer
        }
        if (!(cause instanceof CosmosException native_)) {
            return result.put("message", String.valueOf(error.getMessage()));
        }
        result.put("status", native_.getStatusCode());
        if (native_.getSubStatusCode() != 0) {
            result.put("substatus", native_.getSubStatusCode());
        }
        return result.put("message", message(native_));
    }

    /** The service's own words: the SDK wraps them in diagnostics. */
    private static String message(CosmosException error) {
        try {
            JsonNode whole = JSON.readTree(error.getMessage());
            String inner = whole.path("innerErrorMessage").asText(error.getShortMessage());
            JsonNode body = JSON.readTree(inner);
            return body.path("message").asText(inner);
        } catch (IOException notJson) {
            return error.getShortMessage();
        }
    }

    /** Returns the client that signs in as the principal, with the step's regions and mode. */
    CosmosClient client(JsonNode step, String principal) {
        List<String> regions = new ArrayList<>();
        step.path("regions").forEach(region -> regions.add(region.asText()));
        boolean direct = step.path("direct").asBoolean();
        return clients.computeIfAbsent(principal + regions + direct, name -> {
            CosmosClientBuilder builder = new CosmosClientBuilder().endpoint(plan.path("endpoint").asText())
                .contentResponseOnWriteEnabled(true).preferredRegions(regions);
            if (!direct) {
                builder.gatewayMode();
            }
            if (plan.hasNonNull("key")) {
                return builder.key(plan.path("key").asText()).buildClient();
            }
            return builder.credential(new Credential(plan.path("tokens").path(principal))).buildClient();
        });
    }

    JsonNode place(String container) {
        return plan.path("containers").path(container);
    }

    /** Resolves $name to the entity tag saved under that name. */
    String tag(JsonNode value) {
        String text = value.asText();
        return text.startsWith("$") ? saved.getOrDefault(text.substring(1), "never saved") : text;
    }

    /** Names the volatile headers that an answer carried, without values. */
    static ArrayNode seen(Map<String, String> headers) {
        Map<String, String> known = Map.of("etag", "etag", "x-ms-session-token", "session",
            "x-ms-request-charge", "charge", "x-ms-activity-id", "activity");
        TreeSet<String> names = new TreeSet<>();
        headers.forEach((name, value) -> {
            if (known.containsKey(name.toLowerCase()) && value != null && !value.isEmpty()) {
                names.add(known.get(name.toLowerCase()));
            }
        });
        ArrayNode found = JSON.createArrayNode();
        names.forEach(found::add);
        return found;
    }

    /** Says that this SDK has no call for what a step asks. */
    static final class Unsupported extends RuntimeException {
        Unsupported(String reason) {
            super(reason);
        }
    }

    /** A TokenCredential that runs the command that prints a token; a text is taken as the token itself. */
    private record Credential(JsonNode source) implements TokenCredential {
        @Override
        public Mono<AccessToken> getToken(TokenRequestContext request) {
            return Mono.fromCallable(() -> {
                String token = token();
                return new AccessToken(token, expiry(token));
            });
        }

        /** Reads when a token ends; one that does not say ends in an hour. */
        private static OffsetDateTime expiry(String token) {
            String[] parts = token.split("\\.");
            try {
                long end = JSON.readTree(Base64.getUrlDecoder().decode(parts[1])).path("exp").asLong();
                return OffsetDateTime.ofInstant(Instant.ofEpochSecond(end), ZoneOffset.UTC);
            } catch (IOException | IllegalArgumentException | ArrayIndexOutOfBoundsException noToken) {
                return OffsetDateTime.now().plusHours(1);
            }
        }

        private String token() throws IOException {
            if (source.isTextual()) {
                return source.asText();
            }
            List<String> command = new ArrayList<>();
            source.forEach(word -> command.add(word.asText()));
            Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
            return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
        }
    }
}
