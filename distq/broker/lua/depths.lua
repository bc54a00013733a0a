-- depths: (read only)
-- How many tasks are in each state. Ghosts (ended, but still in a list) do not count.
-- KEYS prefix
-- returns high, default, low, scheduled, running, dead, live, limited or parked (part of the first three), workers
-- uses places
return count_places()
