import Host
import Model

/// What differs between two checkpoints: the facts that decide how a run goes on, and the bits of
/// tensors. Configurations are compared by those who know what settings mean.
package struct CheckpointComparison: Sendable {
    /// A fact that is not the same.
    package struct Fact: Equatable, Sendable {
        package let name: String
        package let first: String
        package let second: String
        /// Whether the states are unequal by it. When and by which program a file was made is no
        /// part of a state.
        package let isOfState: Bool
    }

    /// A tensor of which some bits are not the same.
    package struct Difference: Equatable, Sendable {
        /// The dataset's path in the file.
        package let name: String
        package let count: Int
        /// How many elements have other bits.
        package let differing: Int
        /// The largest |a - b|; NaN where a differing element is a NaN on one side.
        package let largest: Double
        /// The most float32 steps that lie between two elements; both zeros are one number.
        package let largestUlps: Int
        /// The first element with other bits: one index an extent.
        package let firstIndex: [Int]
        package let firstValues: [Float]
    }

    package private(set) var facts: [Fact] = []
    /// Tensors that only one of the two has.
    package let onlyInFirst: [String]
    package let onlyInSecond: [String]
    /// Tensors that both have, in different shapes.
    package private(set) var otherShapes: [(name: String, first: [Int], second: [Int])] = []
    package private(set) var differences: [Difference] = []

    /// Whether nothing that belongs to the state differs.
    package var isEqual: Bool {
        !facts.contains(where: \.isOfState) && onlyInFirst.isEmpty && onlyInSecond.isEmpty
            && otherShapes.isEmpty && differences.isEmpty
    }

    /// Compares; two tensors are in memory at a time.
    ///
    /// - Throws: exit code 65 where a file's tensors are not what its `weight_names` says.
    package init(_ first: CheckpointReader, _ second: CheckpointReader) throws(Failure) {
        let (left, right) = (try StoredTensors(first), try StoredTensors(second))
        let (leftNames, rightNames) = (Set(left.names), Set(right.names))
        onlyInFirst = left.names.filter { !rightNames.contains($0) }
        onlyInSecond = right.names.filter { !leftNames.contains($0) }
        compareFacts(first.checkpoint, second.checkpoint)
        let common = left.names.filter { rightNames.contains($0) }
        let firstBuffer = Arena(count: try left.largestCount())
        let secondBuffer = Arena(count: try right.largestCount())
        for part in StoredTensors.Part.allCases {
            for name in common {
                let path = "/\(part.rawValue)/\(name)"
                let (shape, other) = (try left.shape(name, part), try right.shape(name, part))
                guard shape == other else {
                    otherShapes.append((path, shape, other))
                    continue
                }
                try left.read(name, part, into: firstBuffer.floats)
                try right.read(name, part, into: secondBuffer.floats)
                if let difference = Difference(
                    path, shape, firstBuffer.floats, secondBuffer.floats)
                {
                    differences.append(difference)
                }
            }
        }
    }

    private mutating func compareFacts(_ first: Checkpoint, _ second: Checkpoint) {
        add("step", first.step, second.step)
        add("tokens seen", first.tokensSeen, second.tokensSeen)
        add("data sha256", first.dataSHA256, second.dataSHA256)
        add("train tokens", first.trainingTokens, second.trainingTokens)
        add("val tokens", first.validationTokens, second.validationTokens)
        add("seed", first.seed, second.seed)
        if first.tokenizer != second.tokenizer {
            // The text may be long: where it is first different says more.
            let same = zip(first.tokenizer.utf8, second.tokenizer.utf8).prefix { $0 == $1 }.count
            let shown = { (text: String) in
                String(decoding: text.utf8.dropFirst(same).prefix(24), as: UTF8.self)
            }
            add(
                "tokenizer, from byte \(same)", shown(first.tokenizer), shown(second.tokenizer),
                differs: true)
        }
        let same = zip(first.history, second.history).prefix { $0.isIdentical(to: $1) }.count
        if same < max(first.history.count, second.history.count) {
            let shown = { (history: [Checkpoint.Record]) in
                same < history.count ? "\(history[same])" : "no row"
            }
            add(
                "history, from row \(same)", shown(first.history), shown(second.history),
                differs: true)
        }
        add("created", first.created, second.created, isOfState: false)
        add("producer", first.producer, second.producer, isOfState: false)
    }

    private mutating func add<Value: Equatable>(
        _ name: String, _ first: Value, _ second: Value, isOfState: Bool = true,
        differs: Bool? = nil
    ) {
        guard differs ?? (first != second) else { return }
        facts.append(
            Fact(name: name, first: "\(first)", second: "\(second)", isOfState: isOfState))
    }
}

extension CheckpointComparison.Difference {
    /// Nil where all bits are the same.
    init?(
        _ name: String, _ shape: [Int], _ first: UnsafePointer<Float>,
        _ second: UnsafePointer<Float>
    ) {
        let count = shape.reduce(1, *)
        var differing = 0
        var firstDifferent = 0
        var largest = 0.0
        var largestUlps = 0
        for index in 0..<count where first[index].bitPattern != second[index].bitPattern {
            if differing == 0 { firstDifferent = index }
            differing += 1
            let distance = abs(Double(first[index]) - Double(second[index]))
            // A NaN stays: no comparison with it is true.
            if !(distance <= largest) && !largest.isNaN { largest = distance }
            largestUlps = max(largestUlps, abs(Self.rank(first[index]) - Self.rank(second[index])))
        }
        guard differing > 0 else { return nil }
        self.name = name
        self.count = count
        self.differing = differing
        self.largest = largest
        self.largestUlps = largestUlps
        firstIndex = Self.indices(of: firstDifferent, in: shape)
        firstValues = [first[firstDifferent], second[firstDifferent]]
    }

    /// The place of a value in the order of all float32, zero at zero: neighbours are one apart.
    private static func rank(_ value: Float) -> Int {
        let magnitude = Int(value.bitPattern & 0x7FFF_FFFF)
        return value.sign == .minus ? -magnitude : magnitude
    }

    /// One index an extent from the index in row-major order.
    private static func indices(of position: Int, in shape: [Int]) -> [Int] {
        var rest = position
        var indices: [Int] = []
        for extent in shape.reversed() {
            indices.insert(rest % extent, at: 0)
            rest /= extent
        }
        return indices
    }
}

extension Checkpoint.Record: CustomStringConvertible {
    package var description: String {
        "step \(step) train \(trainingLoss) val \(validationLoss)"
    }

    /// Whether the bits are the same: a loss that was not measured equals itself.
    func isIdentical(to other: Checkpoint.Record) -> Bool {
        step == other.step && trainingLoss.bitPattern == other.trainingLoss.bitPattern
            && validationLoss.bitPattern == other.validationLoss.bitPattern
    }
}
