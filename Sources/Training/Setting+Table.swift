import Kernels
import Model

/// The table that presets, environment, command line, help, `config.yaml` and checkpoints read.
extension Setting {
    package static let all: [Setting] = [
        integer("n-layer", \.model.layers, 1...10_000, .model, "blocks (L)"),
        integer("n-head", \.model.heads, 1...100_000, .model, "heads (H); must divide --n-embd"),
        integer("n-embd", \.model.width, 1...1_000_000, .model, "width of the residual stream (C)"),
        integer(
            "block-size", \.model.blockSize, 1...10_000_000, .model, "positions of a sequence (T)"),
        flag("bias", \.model.bias, .model, "biases in LayerNorm and linear maps"),
        number(
            "dropout", \.model.dropout, 0..<1, .model, "probability of zeroing an element, in 0..<1"
        ),
        Setting(
            name: "mixer", alias: nil, group: .model,
            help: "what stands in the place of attention: causal", placeholder: "causal",
            read: { _ in "causal" },
            write: { (_, text) throws(Refusal) in
                guard text == "causal" else { throw Refusal(expected: "causal") }
            }),
        Setting(
            name: "reduce", alias: nil, group: .model,
            help: "the static function of a token and the one before it: max, min, mean",
            placeholder: "max|min|mean", read: { $0.reduction.operation.rawValue },
            write: { (configuration, text) throws(Refusal) in
                let operation: CausalReduction.Operation = try choice(text)
                configuration.reduction = CausalReduction(
                    operation: operation, context: configuration.reduction.context)
                configuration.model.activationOperation = operation
            }),
        Setting(
            name: "context", alias: nil, group: .model,
            help: "average that joins the reduction: none, prefix (of the tokens so far), "
                + "global (of the whole block: leaks the future, for study)",
            placeholder: "none|prefix|global", read: { $0.reduction.context.rawValue },
            write: { (configuration, text) throws(Refusal) in
                configuration.reduction = CausalReduction(
                    operation: configuration.reduction.operation, context: try choice(text))
            }),
        choice(
            "activation", \.model.activation, .model,
            "the MLP's nonlinearity: gelu, or the causal reduction in its place"),

        integer(
            "batch-size", \.batchSize, 1...100_000_000, .batch,
            "sequences of the global batch, all ranks together (nanoGPT's is per process and per "
                + "gradient accumulation step)"),
        optionalInteger(
            "micro-batch-size", \.microBatchSizeChosen, 1...100_000_000, .batch,
            "sequences of a micro-batch, the unit of work of one thread; default B/M, M the "
                + "largest power of two <= 8 that divides B"),
        integer(
            "overfit-batches", \.overfitBatches, 0...1_000_000_000, .batch,
            "train on the batches of the first so many steps again and again, to see whether the model "
                + "can learn them by heart (one batch of shakespeare-cpu: a loss below 0.05 after 150 "
                + "steps); 0: off"),

        integer(
            "max-steps", \.maxSteps, 0...1_000_000_000, .schedule, "optimizer steps of the run",
            alias: "max-iters"),
        number(
            "learning-rate", \.learningRate, 0..<1000, .schedule, "peak learning rate"),
        optionalNumber(
            "min-lr", \.minLearningRateChosen, 0..<1000, .schedule,
            "learning rate at the end of the decay; default a tenth of the peak"),
        integer(
            "warmup-steps", \.warmupSteps, 0...1_000_000_000, .schedule,
            "steps of linear warm-up: lr (step+1)/(warmup+1)", alias: "warmup-iters"),
        optionalInteger(
            "lr-decay-steps", \.decayStepsChosen, 1...1_000_000_000, .schedule,
            "step at which the cosine decay ends; default --max-steps", alias: "lr-decay-iters"),

        number("beta1", \.beta1, 0..<1, .optimizer, "decay of the first moment"),
        number("beta2", \.beta2, 0..<1, .optimizer, "decay of the second moment"),
        number("eps", \.epsilon, 1e-30..<1, .optimizer, "term in the denominator"),
        number(
            "weight-decay", \.weightDecay, 0..<1000, .optimizer,
            "decoupled decay of tensors of rank 2 and more"),
        number(
            "grad-clip", \.gradientClip, 0..<1e30, .optimizer,
            "largest norm of the gradient; 0 is off"),

        integer(
            "eval-interval", \.evaluationInterval, 0...1_000_000_000, .evaluation,
            "steps between evaluations; 0: only at the end"),
        Setting(
            name: "eval-windows", alias: nil, group: .evaluation,
            help: "windows of the validation split that an evaluation uses: a number or all",
            placeholder: "n|all",
            read: {
                switch $0.evaluationWindows {
                case .all: "all"
                case .some(let count): String(count)
                }
            },
            write: { (configuration, text) throws(Refusal) in
                configuration.evaluationWindows = try windowCount(text)
            }),
        integer(
            "log-interval", \.logInterval, 1...1_000_000_000, .evaluation,
            "steps between lines of the log"),
        integer(
            "save-interval", \.saveInterval, 0...1_000_000_000, .evaluation,
            "steps between checkpoints; 0: only at the end"),
        choice(
            "on-save-error", \.onSaveError, .evaluation,
            "what a save that fails does: stop the run, or continue with a warning; the last save "
                + "must work"),
        integer(
            "keep-last", \.keepLast, 1...1_000_000, .evaluation,
            "newest checkpoints to keep; two stay in any case"),
        integer(
            "keep-every", \.keepEvery, 0...1_000_000_000, .evaluation,
            "keep also those whose step is a multiple of this; 0: none"),

        choice(
            "on-bad-step", \.badStepPolicy, .watching,
            "what a loss or gradient does that is not finite or stands out, or a rank that computes other "
                + "bits: stop; skip the step; rollback to the last checkpoint and compute again, and stop where "
                + "the same comes again"),
        number(
            "spike-threshold", \.spikeThresholdChosen, 0..<1e9, .watching,
            "a loss or gradient norm so many deviations above the mean of the last 64 steps is a bad step; "
                + "0: none is"),
        integer(
            "check-interval", \.checkInterval, 0...1_000_000_000, .watching,
            "steps between comparisons of the ranks' weights, and of a micro-batch that two ranks compute; "
                + "0: none"),
        number(
            "deadline", \.deadlineSeconds, 0..<1e9, .watching,
            "seconds that a rank waits for another before it names it and all end; 0: for ever"),

        text("data", \.data, .place, "dir", "directory that `causalgen prepare` made"),
        text("out-dir", \.outputDirectory, .place, "dir", "where the directories of runs lie"),
        text(
            "run-name", \.runName, .place, "name",
            "directory of this run; default the preset's name"),
        text(
            "init-from", \.initialCheckpoint, .place, "checkpoint",
            "start a new run with the weights of a checkpoint, at step 0 (fine-tuning)"),

        text(
            "resume", \.resume, .start, "auto|last|best|path|never",
            "the checkpoint to go on from; auto: the newest that is valid, if there is one; never: "
                + "refuse a directory that holds checkpoints"),
        duration(
            "max-time", \.maxSeconds, .start,
            "save and stop at the first step boundary after so long, counted from the start of the program, "
                + "with exit code 75 (run it again); 0: never"),
        text(
            "trace", \.traceFile, .start, "file",
            "write what every thread of every rank did when, for ui.perfetto.dev or chrome://tracing"
        ),
        integer(
            "simulate-ranks", \.simulatedRanks, 0...1024, .start,
            "run so many ranks as threads of this process, without MPI; 0: none"),
        flag(
            "allow-change", \.allowsChange, .start,
            "go on although data, tokenizer, batch, micro-batch, --overfit-batches, seed or --init-from are not "
                + "those of the checkpoint"
        ),

        integer(
            "hash-interval", \.hashInterval, 0...1_000_000_000, .debugging,
            "steps between lines of hashes.jsonl, the weights' fingerprint of every block, by which "
                + "`causalgen compare` finds where two runs part; 0: none"),
        flag(
            "detect-nan", \.detectsBadNumbers, .debugging,
            "look at every number of every pass, and keep the tokens of a micro-batch that has one which is "
                + "not finite"),
        flag(
            "fast-dev-run", \.isFastDevelopmentRun, .debugging,
            "try what a run does, in seconds: two steps, an evaluation, a checkpoint that is read back, a "
                + "sample; in a directory of its own, which is removed"),
        Setting(
            name: "wait-for-debugger", alias: nil, group: .debugging,
            help:
                "these ranks wait before step 0 until a debugger is attached, the others for them; no "
                + "--deadline is in force", placeholder: "rank,rank|all",
            read: { $0.debuggedRanks.text },
            write: { (configuration, text) throws(Refusal) in
                guard let ranks = RankSelection(text) else {
                    throw Refusal(expected: "ranks such as 0 or 2,5, or all")
                }
                configuration.debuggedRanks = ranks
            }, isText: true),
        flag(
            "trap-fpe", \.trapsArithmetic, .debugging,
            "end with a crash report at the first operation that is invalid, divides by zero or overflows"
        ),
        flag(
            "memory-report", \.reportsMemory, .debugging,
            "after the first step and at the end, show planned and real memory by parts"),

        optionalInteger(
            "threads", \.threadsChosen, 1...4096, .workers,
            "threads of a rank; default its share of the cores it may use"),
        choice(
            "reduction", \.rankReduction, .workers,
            "how the gradients of the ranks are added: canonical (the same bits on any number of "
                + "ranks), or mpi (MPI_Allreduce, for comparison)"),
        flag(
            "overlap", \.overlaps, .workers,
            "exchange gradients with the other ranks while the rest is computed, and weights while the next "
                + "step begins; the bits are the same"),
        choice(
            "overlap-by", \.overlapMover, .workers,
            "who moves the messages meanwhile: polling (the first thread, between kernels), or thread "
                + "(one of its own)"),
        optionalInteger(
            "bucket-bytes", \.bucketBytesChosen, 4096...1 << 40, .workers,
            "gradients that are sent at once; default 2 MiB for 2 ranks, growing with their logarithm"
        ),
        Setting(
            name: "seed", alias: nil, group: .workers, help: "key of every random number",
            placeholder: "n", read: { String($0.seed) },
            write: { (configuration, text) throws(Refusal) in
                guard let seed = UInt64(text) else {
                    throw Refusal(expected: "an integer in 0...\(UInt64.max)")
                }
                configuration.seed = seed
            }),
    ]
}
