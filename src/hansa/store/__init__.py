"""The folder of a run: what is kept of it, and what a killed run resumes from.

RUN/
  config.json         the resolved configuration; its SHA-256 stands in the log's first entry
  log/public.jsonl    hash-chained: what anyone may see and check
  log/private.jsonl   hash-chained: who was drawn, what each client reported, clients' memories
  blobs/ab/<sha256>   arrays in the safetensors format, named by their hash
  history.jsonl       one round a line, for people; derived from the log
  lock                held by the process that writes
"""

from hansa.store.blobs import Blobs
from hansa.store.canonical import canonical_json, differences, parse_json
from hansa.store.checkpoints import Checkpoint
from hansa.store.log import Entry, Log
from hansa.store.run import Run

__all__ = [
    "Blobs",
    "Checkpoint",
    "Entry",
    "Log",
    "Run",
    "canonical_json",
    "differences",
    "parse_json",
]
