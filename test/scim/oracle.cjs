// Answers questions about PATCH and filters with other people's implementations: one JSON object a line in, one out.
// NODE_PATH says where the packages are.
const readline = require("node:readline");
const { scimPatch } = require("scim-patch");
const { parse, filter: predicate } = require("scim2-parse-filter");
const { default: SCIMMY } = require("scimmy");

SCIMMY.Schemas.User.extend(SCIMMY.Schemas.EnterpriseUser, false);

const schemas = ["urn:ietf:params:scim:api:messages:2.0:PatchOp"];

function attempt(f) {
  try {
    return { value: f() };
  } catch (e) {
    return { error: String(e.message || e) };
  }
}

async function answer(question) {
  if (question.operations) {
    const copy = () => JSON.parse(JSON.stringify(question.resource));
    const operations = () => JSON.parse(JSON.stringify(question.operations));
    const patched = attempt(() => scimPatch(copy(), operations(), { mutateDocument: true }));
    let scimmy;
    try {
      const user = new SCIMMY.Schemas.User(copy(), "out");
      const out = await new SCIMMY.Messages.PatchOp({ schemas, Operations: operations() }).apply(user);
      scimmy = { value: out ?? user };
    } catch (e) {
      scimmy = { error: String(e.message || e) };
    }
    return { "scim-patch": patched, scimmy };
  }
  const ids = (list) => list.map((r) => r.id);
  return {
    "scim2-parse-filter": attempt(() => ids(question.resources.filter(predicate(parse(question.filter))))),
    scimmy: attempt(() => ids(new SCIMMY.Types.Filter(question.filter).match(question.resources))),
  };
}

const lines = readline.createInterface({ input: process.stdin });
let order = Promise.resolve();
lines.on("line", (line) => {
  order = order.then(async () => process.stdout.write(JSON.stringify(await answer(JSON.parse(line))) + "\n"));
});
