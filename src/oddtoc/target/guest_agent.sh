#!/bin/busybox sh
# Runs commands for the host, one at a time. An emulated fork takes milliseconds, so everything but the command itself
# is done by builtins and by processes that stay. The channels, each a console of its own in raw mode:
#
#   hvc1  in: "short ID TOKEN COMMAND", COMMAND escaped for printf %b, or "long ID TOKEN SIZE" and SIZE bytes behind it
#         out: "ready MODULES-THAT-FAILED" once, then "ID STATUS" for each command
#   hvc2  in: "kill ID"; out: what commands print, TOKEN before it and TOKEN behind it
#   hvc3  out: the same for standard error

cd /
here=/run/oddtoc

# bytes, not lines that somebody types; a console forgets it when nobody has it open
raw() { stty raw -echo; }

run_commands() {
    # opened for reading too: opening or writing a FIFO must never wait for its reader to be started again
    exec </dev/hvc1 >/dev/hvc1 3<>$here/stdout 4<>$here/stderr
    raw
    [ -e $here/failed ] && failed=$(cat $here/failed)
    echo ready $failed
    while read -r verb id token rest; do
        case $verb in
        short) printf '%b' "$rest" >$here/command ;;
        long) head -c "$rest" >$here/command ;;
        *) continue ;;
        esac
        printf %s "$token" >&3
        printf %s "$token" >&4
        setsid sh $here/command </dev/null >&3 2>&4 3>&- 4>&- &
        echo "$id $!" >$here/leader
        wait $!
        status=$?
        : >$here/leader
        printf %s "$token" >&3
        printf %s "$token" >&4
        echo "$id $status"
    done
}

kill_commands() {
    exec </dev/hvc2
    raw
    while read -r verb id; do
        read -r running leader <$here/leader
        [ "$verb:$id" = "kill:$running" ] && kill -9 "-$leader"
    done
}

forward() {
    exec >"/dev/$2"
    raw <&1
    exec cat <>"$here/$1"
}

case $1 in
run) run_commands ;;
kill) kill_commands ;;
forward) forward "$2" "$3" ;;
esac
