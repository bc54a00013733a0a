-- park_budget: (budgets only)
-- Nobody takes from a budget for a while, neither tasks nor others. What waits for it looks again when that is over.
-- KEYS prefix
-- ARGV budget, its key, ms
-- returns "ok"
-- uses clock head limit wake flow
flows().park_budget(ARGV[1], ARGV[2], tonumber(ARGV[3]))
return 'ok'
