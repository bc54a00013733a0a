-- entries: (read only)
-- The names of the live tasks, page by page, with their types and without their messages.
-- KEYS prefix
-- ARGV cursor ("0" at first)
-- returns {next cursor ("0" at the end), entry, type, …}
-- uses head
local cursor, pairs_found = unpack(redis.call('HSCAN', TASKS, ARGV[1], 'COUNT', 500))
local found = {cursor}
for i = 1, #pairs_found, 2 do
  found[#found + 1] = pairs_found[i]
  found[#found + 1] = read_head(pairs_found[i + 1]).type
end
return found
