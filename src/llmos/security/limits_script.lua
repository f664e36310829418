-- Counts steps of calls in Redis, in their order and all at once. See redis_limit_counts.py.
--
-- KEYS     the keys that the steps use
-- ARGV[1]  {"server", "own": {key: calls that this server runs}, "steps", "lease", "now" (tests only), "prefix"}
--          a step: [is_take, [[requests key, cost, tokens key, cost, running key, limit], …]]; 0 for a key: no limit
-- returns  for each step nil, or {index of the allowance, index of its limit, nanoseconds to wait}; then the new "own"
--
-- A bucket is {level, at}: what was used at a time. Levels are nanoseconds, times microseconds, so that neither exceeds
-- the 53 bits of a number.

local MINUTE = 60000000000
local asked = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = asked.now or (time[1] * 1000000 + time[2])
local lease = asked.prefix .. 'lease:'
local own, changed, elsewhere, levels = asked.own, {}, {}, {}

local function level(key)
  if not levels[key] then
    local stored = redis.call('HMGET', key, 'level', 'at')
    levels[key] = stored[1] and math.max(0, tonumber(stored[1]) - (now - tonumber(stored[2])) * 1000) or 0
  end
  return levels[key]
end

local function others(key)
  if not elsewhere[key] then
    local sum, all = 0, redis.call('HGETALL', key)
    for i = 1, #all, 2 do
      local expires_at = all[i] ~= asked.server and redis.call('GET', lease .. all[i])
      if expires_at and tonumber(expires_at) > now then
        sum = sum + tonumber(all[i + 1])
      elseif all[i] ~= asked.server then
        redis.call('HDEL', key, all[i])
      end
    end
    elsewhere[key] = sum
  end
  return elsewhere[key]
end

local function refusal(allowances)
  local worst = nil
  for i, each in ipairs(allowances) do
    for limit, wait in ipairs({
      each[1] ~= 0 and level(KEYS[each[1]]) + each[2] - MINUTE or 0,
      each[3] ~= 0 and level(KEYS[each[3]]) + each[4] - MINUTE or 0,
      each[5] ~= 0 and others(KEYS[each[5]]) + (own[KEYS[each[5]]] or 0) >= each[6] and 1 or 0,
    }) do
      local seconds = math.ceil(wait / 1000000000)
      if wait > 0 and (not worst or seconds > worst.seconds) then
        worst = { seconds = seconds, reply = { i, limit, string.format('%.0f', wait) } }
      end
    end
  end
  return worst and worst.reply
end

local function use(key, cost)
  levels[key] = math.max(0, level(key) + cost)
  changed[key] = true
end

local function run(key, change)
  own[key] = math.max(0, (own[key] or 0) + change)
end

local replies = {}
for i, step in ipairs(asked.steps) do
  local refused = step[1] and refusal(step[2])
  replies[i] = refused or {}
  if not refused then
    for _, each in ipairs(step[2]) do
      if each[1] ~= 0 then use(KEYS[each[1]], each[2]) end
      if each[3] ~= 0 then use(KEYS[each[3]], each[4]) end
      if each[5] ~= 0 then run(KEYS[each[5]], step[1] and 1 or -1) end
    end
  end
end

for key in pairs(changed) do
  redis.call('HSET', key, 'level', string.format('%.0f', levels[key]), 'at', string.format('%.0f', now))
  -- A key that is missing says the same as an empty bucket.
  redis.call('PEXPIRE', key, math.ceil(levels[key] / 1000000) + 1)
end
-- The server says how many calls it runs, so that a lost reply or a lost Redis leaves no wrong count behind.
local is_running = false
for key, number in pairs(own) do
  if number > 0 then
    is_running = true
    redis.call('HSET', key, asked.server, number)
    redis.call('PEXPIRE', key, asked.lease * 2 / 1000)
  else
    redis.call('HDEL', key, asked.server)
  end
end
if is_running then
  redis.call('SET', lease .. asked.server, string.format('%.0f', now + asked.lease), 'PX', asked.lease / 1000)
end
replies[#replies + 1] = cjson.encode(own)
return replies
