"""Run in the environment of ``requirements.txt``. Texts (a JSON list) on standard input; {tokenizer: [tokens of each
text]} on standard output."""

import json
import sys
from pathlib import Path

import mistral_common
from mistral_common.tokens.tokenizers.sentencepiece import SentencePieceTokenizer
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

VOCABULARIES = Path(mistral_common.__file__).parent / "data"

texts = json.load(sys.stdin)
counters = {
    "tekken": Tekkenizer.from_file(VOCABULARIES / "tekken_240911.json"),
    "mistral_spm": SentencePieceTokenizer(VOCABULARIES / "mistral_instruct_tokenizer_241114.model.v7"),
}
counts = {name: [len(each.encode(text, False, False)) for text in texts] for name, each in counters.items()}
json.dump(counts, sys.stdout)
