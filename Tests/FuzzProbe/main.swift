import Checkpointing
import Glibc
import Host
import Model
import TokenData
import Training

// Opens what each line of standard input names, `KIND PATH`, as the program would, and answers with one
// line: `value`, or `failure` with its exit code and message. It has little memory and ten seconds for
// each, so that a crash, a loop without an end and an allocation without a bound all end it by a signal.

/// What the tests' files take is far below.
let memoryBytes: rlim_t = 1 << 30
let secondsOfACase: UInt32 = 10

/// Opens a file of that kind and touches everything in it.
func read(_ kind: Substring, _ path: String) throws(Failure) {
    switch kind {
    case "checkpoint":
        let trained = try TrainedModel(path)
        let reader = try CheckpointReader(path)
        let moments = (
            Arena(count: trained.model.layout.arenaCount),
            Arena(count: trained.model.layout.arenaCount)
        )
        try reader.readMoments(
            trained.model.layout, first: moments.0.floats, second: moments.1.floats)
    case "dataset":
        let dataset = try TokenDataset(path)
        for shard in [dataset.train, dataset.validation] {
            let tokens = UnsafeMutablePointer<Int32>.allocate(capacity: shard.count)
            defer { tokens.deallocate() }
            try shard.copy(from: 0, count: shard.count, into: tokens)
            _ = dataset.tokenizer.decode(UnsafeBufferPointer(start: tokens, count: shard.count))
        }
        _ = try Tokenizer(json: dataset.tokenizer.json)
    case "preset":
        let resolved = try ResolvedConfiguration(arguments: [path], environment: [:])
        _ = resolved.table
        _ = try Configuration(json: resolved.configuration.json, path: path)
    case "metrics": _ = try LossCurve(directory: path).chart()
    case "safetensors":
        let file = try Safetensors(path)
        for tensor in file.tensors.values {
            let floats = UnsafeMutablePointer<Float>.allocate(capacity: tensor.count)
            file.read(tensor, into: floats)
            floats.deallocate()
        }
    default: fatalError("no such kind: \(kind)")
    }
}

var limit = rlimit(rlim_cur: memoryBytes, rlim_max: memoryBytes)
precondition(setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0)
// Who starts this may have blocked the signal, as threads of Dispatch do.
var alarms = sigset_t()
sigemptyset(&alarms)
sigaddset(&alarms, SIGALRM)
sigprocmask(SIG_UNBLOCK, &alarms, nil)
while let line = readLine() {
    let words = line.split(separator: " ", maxSplits: 1)
    alarm(secondsOfACase)
    do throws(Failure) {
        try read(words[0], String(words[1]))
        print("value")
    } catch {
        print("failure \(error.exitCode.rawValue) \(error.message.replacing("\n", with: " "))")
    }
    alarm(0)
    fflush(nil)
}
