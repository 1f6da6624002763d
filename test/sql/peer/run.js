// Reads {documents, queries} on standard input and writes one line of JSON for each query: {"result": [...]} or {"error": "..."}.
const { default: query } = require("@zeit/cosmosdb-query");

const { documents, queries } = JSON.parse(require("fs").readFileSync(0, "utf8"));
// JSON has no NaN and no Infinity, which JSON.stringify would write as null: such a value does not exist, as everywhere in the language.
const finite = (_, value) => (typeof value === "number" && !Number.isFinite(value) ? undefined : value);
const lines = queries.map((text) => {
  try {
    const { result } = query(text).exec(structuredClone(documents), { parameters: [{ name: "@n", value: 2 }] });
    return JSON.stringify({ result: result.filter((one) => finite("", one) !== undefined) }, finite);
  } catch (error) {
    return JSON.stringify({ error: String(error.message ?? error).split("\n")[0] });
  }
});
process.stdout.write(lines.join("\n") + "\n");
