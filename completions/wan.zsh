#compdef wan

_wan_completion() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _WAN_COMPLETE=complete_zsh wan)
}

compdef _wan_completion wan
