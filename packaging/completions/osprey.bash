# Completion of osprey's command line for bash (with or without bash-completion).

_osprey_models() {
    osprey model list 2>/dev/null | sed -n 's/^[* ] \([^ ]*\) .*/\1/p'
}

_osprey() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local commands='index search similar embed status verify backup relocate forget eval serve model'
    local common='--library --model --precision -k --json --quiet --help'
    local command='' own='' i

    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --) return ;;
            --library | --model | --precision | -k) ((i++)) ;;
            -*) ;;
            *)
                command=${COMP_WORDS[i]}
                break
                ;;
        esac
    done

    case $prev in
        --library | --in | --images)
            COMPREPLY=($(compgen -d -- "$cur"))
            compopt -o filenames 2>/dev/null
            return
            ;;
        --image | --npy | --captions | --golden | --config | --token-file)
            COMPREPLY=($(compgen -f -- "$cur"))
            compopt -o filenames 2>/dev/null
            return
            ;;
        --model)
            COMPREPLY=($(compgen -W "$(_osprey_models)" -- "$cur") $(compgen -d -- "$cur"))
            return
            ;;
        --precision)
            COMPREPLY=($(compgen -W 'auto f32 bf16 int8' -- "$cur"))
            return
            ;;
        -k | --min-score | --batch | --threads | --tolerance | --seed | --port | --listen | --server | --trust | --host | --cors | \
            --max-k | --workers | --queue | --cache | --max-body | --max-pixels | --timeout) return ;;
        --log)
            COMPREPLY=($(compgen -W 'off text json' -- "$cur"))
            return
            ;;
    esac

    if [[ -z $command ]]; then
        COMPREPLY=($(compgen -W "$commands help $common --version" -- "$cur"))
        return
    fi
    case $command in
        search) own='--image --min-score --in --server --preview' ;;
        similar) own='--others --min-score --in --preview' ;;
        embed) own='--image --npy' ;;
        index) own='--threads --hidden' ;;
        status) own='--errors' ;;
        verify) own='--repair' ;;
        eval) own='--images --captions --seed' ;;
        serve)
            own='--port --listen --config --token-file --trust --host --cors --max-k'
            own+=' --workers --queue --cache --max-body --max-pixels --timeout --arrive-seconds --log'
            ;;
        model) own='--batch --threads --golden --tolerance' ;;
        help)
            COMPREPLY=($(compgen -W "$commands" -- "$cur"))
            return
            ;;
    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$own $common" -- "$cur"))
        return
    fi
    case $command in
        index | relocate | forget)
            COMPREPLY=($(compgen -d -- "$cur"))
            compopt -o filenames 2>/dev/null
            ;;
        similar | backup)
            COMPREPLY=($(compgen -f -- "$cur"))
            compopt -o filenames 2>/dev/null
            ;;
        search)
            # Only what has a '/' can be a picture; the rest are words.
            if [[ $cur == */* ]]; then
                COMPREPLY=($(compgen -f -- "$cur"))
                compopt -o filenames 2>/dev/null
            fi
            ;;
        model)
            if [[ $prev =~ ^(info|bench|check|use|get)$ ]]; then
                COMPREPLY=($(compgen -W "$(_osprey_models)" -- "$cur") $(compgen -d -- "$cur"))
            else
                COMPREPLY=($(compgen -W 'list get use info check bench' -- "$cur"))
            fi
            ;;
    esac
}

complete -F _osprey osprey
