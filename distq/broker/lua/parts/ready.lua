-- part ready: puts a live entry where it waits: among the suspects, in a lane, or in the list of its priority.
local function set_deadline(entry, ms)
  redis.call('ZADD', DEADLINES, ms, entry)
  announce(ms)
end

-- A lane is "limited", or "parked N": no worker at hand knew the type. Its tasks end after N ms in which none has come.
local function be_patient(entry, kind)
  local patience = kind and string.match(kind, '^parked (%d+)$')
  if patience then set_deadline(entry, now + patience) end
end

local function enter_lane(entry, lane, kind, level, push)
  redis.call(push, LANE .. level .. ':' .. lane, entry)
  redis.call('SADD', LANES_AT .. level, lane)
  be_patient(entry, kind)
end

local function make_ready(entry, h, push)
  if has_flag(h, ISOLATED) then
    redis.call('HSETNX', LANES, ISOLATION, 'isolated')
    enter_lane(entry, ISOLATION, nil, h.level, push)
    announce_isolation()
  elseif has_flag(h, SUSPECT) then
    redis.call(push, SUSPECTS .. h.level, entry)
  else
    local kind = redis.call('HGET', LANES, h.flow)
    if kind == 'flow' or is_flow_again(h) then
      flows().enter(entry, h, push)
    elseif kind then
      enter_lane(entry, h.flow, kind, h.level, push)
    else
      redis.call(push, QUEUE .. h.level, entry)
    end
  end
  if h.expires > 0 then set_deadline(entry, h.expires) end
end

-- The entry waits until `due`, then becomes ready.
local function make_scheduled(entry, h, due)
  redis.call('ZADD', DELAYED, due, entry)
  announce(due)
  if h.expires > 0 then set_deadline(entry, h.expires) end
end
