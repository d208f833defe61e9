"""Charts, documents and exports. Knows results and Rich, never torch."""
