-- acquire: (budgets only)
-- Takes from a budget for somebody who is no task, or says when it can be. A call that is sent again after its reply was
-- lost takes again: then less is granted than could be, and never more.
-- KEYS prefix
-- ARGV budget, its key, then "interval_us burst" and the cost by turns
-- returns ms until it can be taken; 0: it has been
-- uses clock head limit wake flow
local use, declared = {ARGV[1], ARGV[2]}, {}
for i = 3, #ARGV, 2 do
  declared[#declared + 1], use[#use + 1] = ARGV[i], tonumber(ARGV[i + 1])
end
local ready = flows().take_budget(use, declared)
return ready and math.max(1, ready - now) or 0
