# Completion of osprey's command line for bash (with or without bash-completion).

_osprey_models() {
    osprey model list 2>/dev/null | sed -n 's/^[* ] \([^ ]*\) .*/\1/p'
}

_osprey() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local commands='index watch search similar embed tag caption dupes export import status verify backup relocate forget eval train serve model'
    local common='--library --model --precision -k --json --quiet --help'
    local filters='--after --before --in --camera --lens --tag --not-tag --rating --near --orientation'
    filters+=' --min-size --type --caption'
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
        --vocab)
            COMPREPLY=($(compgen -W 'everyday imagenet moderation' -- "$cur") $(compgen -f -- "$cur"))
            compopt -o filenames 2>/dev/null
            return
            ;;
        --library | --in | --root | --images | --dev-images | --output | --labels | --examples | --reranker)
            COMPREPLY=($(compgen -d -- "$cur"))
            compopt -o filenames 2>/dev/null
            return
            ;;
        --image | --npy | --bank | --html | --script | --captions | --prompts | --svg | --golden | --dev-captions | --breadth | --class-names | \
            --config | --token-file)
            COMPREPLY=($(compgen -f -- "$cur"))
            compopt -o filenames 2>/dev/null
            return
            ;;
        --model | --base)
            COMPREPLY=($(compgen -W "$(_osprey_models)" -- "$cur") $(compgen -d -- "$cur"))
            return
            ;;
        --orientation)
            COMPREPLY=($(compgen -W 'landscape portrait square' -- "$cur"))
            return
            ;;
        --after | --before | --camera | --lens | --tag | --not-tag | --rating | --near | --min-size | --caption) return ;;
        --every | --max-watches) return ;;
        --type)
            COMPREPLY=($(compgen -W 'jpeg png' -- "$cur"))
            return
            ;;
        --split)
            COMPREPLY=($(compgen -W 'train restval val test all' -- "$cur"))
            return
            ;;
        --kinds)
            COMPREPLY=($(compgen -W 'identical same near identical,same' -- "$cur"))
            return
            ;;
        --precision)
            COMPREPLY=($(compgen -W 'auto f32 bf16 int8' -- "$cur"))
            return
            ;;
        --loss)
            COMPREPLY=($(compgen -W 'infonce triplet siglip contrastive' -- "$cur"))
            return
            ;;
        --distance)
            COMPREPLY=($(compgen -W 'cosine euclidean manhattan' -- "$cur"))
            return
            ;;
        --supervision)
            COMPREPLY=($(compgen -W 'supervised self semi' -- "$cur"))
            return
            ;;
        --semi-weight | --views | --parts | --margin | --smoothing | --temperature | --dim | --hidden) return ;;
        --dropout | --text-dropout | --distil | --class-weight | --visual-weight | --epochs) return ;;
        --lr | --weight-decay | --patience | --checkpoint-every) return ;;
        -k | --top | --threshold | --min-score | --min-match | --batch | --threads | --frames | --tolerance | --seed | --sample | --port | --listen | --server | --trust | --host | --cors | \
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
        search) own="--image --min-score --min-match $filters --pages --hybrid --rerank --reranker --server --preview" ;;
        similar) own="--others --min-score --min-match $filters --pages --preview" ;;
        embed) own='--image --npy' ;;
        index) own='--threads --frames --hidden --regions --reranker' ;;
        watch) own='--threads --frames --hidden --regions --reranker --every --max-watches' ;;
        tag) own='--vocab --examples --prompts --threshold --top --once --write --remove --dry-run --list' ;;
        caption) own='--bank --threshold --write --dry-run --remove' ;;
        dupes) own='--kinds --same --near --html --script' ;;
        export) own='--in' ;;
        import) own='--root' ;;
        status) own='--errors' ;;
        verify) own='--repair' ;;
        eval) own='--images --captions --split --labels --prompts --image-to-image --rerank --reranker --index --sample --svg --seed' ;;
        train) own='--images --captions --labels --breadth --dev-captions --dev-images --base --output --replace --supervision --semi-weight --views --parts --loss --distance --margin --hardest --smoothing --temperature --dim --hidden --linear --dropout --text-dropout --distil --class-names --class-weight --visual-weight --epochs --batch --lr --weight-decay --patience --seed --threads --checkpoint-every --resume --form --steps --groups --group-size --reach --top' ;;
        serve)
            own='--port --listen --config --token-file --trust --host --cors --max-k'
            own+=' --workers --queue --cache --max-body --max-pixels --timeout --arrive-seconds'
            own+=' --thumbnails --log'
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
        index | tag | caption | dupes | export | import | relocate | forget)
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
        train)
            COMPREPLY=($(compgen -W 'heads reranker' -- "$cur"))
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
