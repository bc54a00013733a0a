-- part results: finds and forgets what is on the shelves.
local function result_of(id)
  for _, shelf in ipairs(redis.call('ZRANGE', SHELVES, 0, -1, 'REV')) do
    local element = not is_shelf_over(shelf) and redis.call('HGET', SHELF .. shelf, id)
    if element then return element end
  end
  return false
end

-- For ids that begin a new life, or are forgotten for good.
local function forget_results(ids)
  for _, shelf in ipairs(redis.call('ZRANGE', SHELVES, 0, -1)) do redis.call('HDEL', SHELF .. shelf, unpack(ids)) end
  for _, id in ipairs(ids) do redis.call('DEL', ANSWER .. id) end
end
