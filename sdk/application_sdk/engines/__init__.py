"""What executes task calls and keeps the ledger: one package per engine, none importing another."""
