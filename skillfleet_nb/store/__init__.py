"""The store: the home, the journal every fact goes to first, and SQL over all of it."""

from skillfleet_nb.envelope import Event
from skillfleet_nb.store import locks, queries, tickets
from skillfleet_nb.store.access import StaleWarning
from skillfleet_nb.store.audit import Trail
from skillfleet_nb.store.audit_verification import Verified
from skillfleet_nb.store.datafiles import read_examples
from skillfleet_nb.store.encryption import Encrypted, Encryption, EncryptionState
from skillfleet_nb.store.home import Home
from skillfleet_nb.store.journal import Follower, Journal, follow, is_alive, new_stream
from skillfleet_nb.store.program_states import load_program, save_program
from skillfleet_nb.store.rates import Schedule
from skillfleet_nb.store.records import CompactReport, FoldReport, ResetReport, StoreStatus
from skillfleet_nb.store.requests import clear_text, read_requests, request
from skillfleet_nb.store.store import Store

__all__ = [
    "CompactReport",
    "Encrypted",
    "Encryption",
    "EncryptionState",
    "Event",
    "FoldReport",
    "Follower",
    "Home",
    "Journal",
    "ResetReport",
    "Schedule",
    "StaleWarning",
    "Store",
    "StoreStatus",
    "Trail",
    "Verified",
    "clear_text",
    "follow",
    "is_alive",
    "load_program",
    "locks",
    "new_stream",
    "queries",
    "read_examples",
    "read_requests",
    "request",
    "save_program",
    "tickets",
]
