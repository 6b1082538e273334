_wan_completion() {
    local line=${COMP_LINE:0:COMP_POINT} found word before
    case $line in *[[:space:]]) line="$line''" ;; esac
    word=${line##*[[:space:]]}
    # bash itself ends a word at these, and only replaces what comes after them
    before=
    [[ $word == *:* && $COMP_WORDBREAKS == *:* ]] && before=${word%"${word##*:}"}
    COMPREPLY=()
    while IFS= read -r found; do
        [[ -n $found ]] && COMPREPLY+=("${found#"$before"}")
    done < <(COMP_WORDS=$line COMP_CWORD=-1 _WAN_COMPLETE=complete_bash "$1" 2>/dev/null)
    return 0
}

complete -o default -F _wan_completion wan
