# a script
wc -l < {{upstream["clean"]["data"]}} > {{product}}
