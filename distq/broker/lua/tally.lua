-- tally: (read only)
-- How many tasks are in each state, and what has happened so far, at one instant: the two sides of the ledger's equation.
-- KEYS prefix
-- returns {what depths returns, {"event type", count, …}}
-- uses places
return {count_places(), redis.call('HGETALL', LEDGER)}
