// Calls the DCC's client, unmodified. Reads one JSON document from stdin and prints one to stdout.
const path = require("node:path");
const { createRequire } = require("node:module");

const load = createRequire(path.join(__dirname, "node_modules/"));
const client = load("@smartdcc/dccboxed-keystore");
const low = load(path.join(__dirname, "node_modules/@smartdcc/dccboxed-keystore/dist/certificateSearch.js"));

async function call({ address, headers, kind, request, eui, serial, usage, backing }) {
  if (kind === "search") return low.search(request, address, headers);
  if (kind === "query") return [await low.query(serial, address, headers)].filter((one) => one !== null);
  const store = await client.BoxedKeyStore.new(address, undefined, backing, headers);
  try {
    const lookup = "certificate";
    const options = eui ? { eui, keyUsage: usage, lookup } : { serial: BigInt("0x" + serial), lookup };
    const found = await store.query(options);
    return found === null ? [] : [found].flat();
  } finally {
    await store.cleanup();
  }
}

let text = "";
process.stdin.on("data", (part) => (text += part));
process.stdin.on("end", async () => {
  let answer;
  try {
    const found = await call(JSON.parse(text));
    answer = { found: found.map((one) => (one.x509 ?? one.certificate).raw.toString("base64")) };
  } catch (error) {
    answer = { error: error.message };
  }
  console.log(JSON.stringify(answer));
});
