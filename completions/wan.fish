function __wan_complete
    set -l words (commandline -cp | string collect)
    set -l found (env _WAN_COMPLETE=complete_fish _TYPER_COMPLETE_ARGS="$words" wan 2>/dev/null)
    if set -q found[1]; and test -n "$found[1]"
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end

complete --command wan --no-files --arguments '(__wan_complete)'
