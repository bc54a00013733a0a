-- expect: (moves no task)
-- Notes that tasks are to come from another queue, before they leave it: then who looks at this queue's notes can see to it
-- that each of them arrives, whatever becomes of the one who moves them (docs/decisions/0055).
-- KEYS prefix
-- ARGV token of the move, the queue from which they come, ids…
-- returns per id "expected" | "taken": one of that id is alive here, or on its way
-- uses clock limit journey
local token, source, words = ARGV[1], ARGV[2], {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local state, whose = note_of(ARRIVING, id)
  local is_taken = redis.call('HEXISTS', TASKS, id) == 1 or redis.call('HEXISTS', GENERATIONS, id) == 1
  if whose == token then
    words[#words + 1] = 'expected'
  elseif state or is_taken then
    words[#words + 1] = 'taken'
  else
    redis.call('HSET', ARRIVING, id, table.concat({'expected', token, source, string.format('%.0f', now)}, ' '))
    words[#words + 1] = 'expected'
  end
end
return words
