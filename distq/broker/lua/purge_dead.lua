-- purge_dead: dead -> none
-- Deletes dead letters for good, with what is kept about them.
-- KEYS prefix
-- ARGV ids…
-- returns how many were deleted
-- uses clock head shelves results endings
local deleted = 0
for _, id in ipairs(ARGV) do
  if redis.call('HEXISTS', DEAD, id) == 1 then
    forget_dead(id)
    redis.call('DEL', ATTEMPTS .. id, MEMORY .. id)
    forget_results({id})
    deleted = deleted + 1
  end
end
return deleted
