-- part shares: types of which a worker takes only some at a time, as its step says: "digest", or "digest group=number=lane,lane …".
local share_lanes, share_of = {}, {}

local function read_shares(said)
  if not string.find(said, ' ', 1, true) then return said end
  for group, free, lanes in string.gmatch(said, '([^ =]+)=(%d+)=(%S+)') do
    local share = {group = group, free = tonumber(free)}
    for lane in string.gmatch(lanes, '[^,]+') do
      share_lanes[#share_lanes + 1], share_of[lane] = lane, share
    end
  end
  return string.match(said, '^%S+')
end
