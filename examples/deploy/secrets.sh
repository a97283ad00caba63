#!/bin/sh
# Makes the secrets that these examples need, one file each, and keeps those that are there:
#
#   sh secrets.sh FOLDER
#
# POSTGRES_HOST and REDIS_HOST say where the two servers are, if they are not called postgres and redis.
#
# The folder is yours alone; the files in it are not, because Docker Compose hands each one on as it is, to containers
# that run as another user. Never commit them.
set -eu

folder=${1:?usage: sh secrets.sh FOLDER}
mkdir -p "$folder"
chmod 700 "$folder"
umask 022

random() { # 32 bytes in hexadecimal digits, which need no encoding in a URL
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

make() { # NAME TEXT, without a line end: the Prometheus Operator would send one along with the token, and be refused
    [ -e "$folder/$1" ] || printf '%s' "$2" >"$folder/$1"
}

make jwt_secret "$(random)"
make metrics_token "$(random)"
make admin_tokens "operator=$(random)
" # one a line
make grafana_password "$(random)"

make postgres_password "$(random)"
make fraiseql_database_url "postgresql://blog:$(cat "$folder/postgres_password")@${POSTGRES_HOST:-postgres}:5432/blog"

make redis_password "$(random)"
make redis_url "redis://guard:$(cat "$folder/redis_password")@${REDIS_HOST:-redis}:6379/0"
# The user may do what the guard does, on its own keys (FRAISEQL_GUARD_NAMESPACE=blog), and nothing else; `health` may ask
# whether Redis answers. The file holds a hash of the password.
hash=$(printf '%s' "$(cat "$folder/redis_password")" | sha256sum | cut -d ' ' -f 1)
make redis_users.acl "user default off
user health on nopass resetkeys resetchannels -@all +ping
user guard on #$hash resetkeys ~blog:* resetchannels -@all +evalsha +eval +script|load +time +type +info +select +role +cluster|slots +asking +get +set +del +exists +expire +pexpire +pttl +incr +hget +hset +hdel +hgetall +hlen +hmget +hscan +lrange +lpush +rpush +lset +ltrim +zadd +zrem +zcard +zcount +zscan +zscore +zrange +zrangebyscore +zremrangebyscore
"
