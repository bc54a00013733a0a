-- inventory: (read only)
-- The keys of the queue, page by page, with what they are.
-- KEYS prefix
-- ARGV cursor ("0" at first)
-- returns {next cursor ("0" at the end), name without the prefix, type, ms to live (-1: for ever), …}
local prefix = string.sub(TASKS, 1, -1 - #'tasks')
local cursor, names = unpack(redis.call('SCAN', ARGV[1], 'MATCH', prefix .. '*', 'COUNT', 500))
local found = {cursor}
for _, name in ipairs(names) do
  found[#found + 1] = string.sub(name, #prefix + 1)
  found[#found + 1] = redis.call('TYPE', name).ok
  found[#found + 1] = redis.call('PTTL', name)
end
return found
