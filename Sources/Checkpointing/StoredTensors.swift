import Host
import Model

/// The tensors of a checkpoint, of whatever model, one at a time: in the memory of the largest.
package struct StoredTensors {
    /// The groups that hold every tensor once.
    package enum Part: String, CaseIterable, Sendable {
        case weights
        case firstMoments = "adamw/m"
        case secondMoments = "adamw/v"
    }

    package let path: String
    /// In canonical order.
    package let names: [String]
    private let groups: [Part: HDF5Group]

    /// - Parameter reader: a verified checkpoint.
    /// - Throws: exit code 65 where the groups do not hold the tensors that `weight_names` names.
    package init(_ reader: CheckpointReader) throws(Failure) {
        path = reader.path
        let root = try reader.file.root()
        let weights = try root.group("weights")
        let adamw = try root.group("adamw")
        names = try weights.texts("weight_names")
        groups = [
            .weights: weights, .firstMoments: try adamw.group("m"),
            .secondMoments: try adamw.group("v"),
        ]
        for part in Part.allCases {
            guard try groups[part]!.names() == names.sorted(by: Self.precedes) else {
                throw Failure(
                    .damaged,
                    "'\(path)': '/\(part.rawValue)' does not hold the tensors that 'weight_names' "
                        + "names")
            }
        }
    }

    /// The order of HDF5: by bytes.
    private static func precedes(_ left: String, _ right: String) -> Bool {
        left.utf8.lexicographicallyPrecedes(right.utf8)
    }

    /// The extents of a tensor, the slowest first.
    package func shape(_ name: String, _ part: Part = .weights) throws(Failure) -> [Int] {
        try groups[part]!.dataset(name).shape
    }

    /// The most elements that a tensor has.
    package func largestCount() throws(Failure) -> Int {
        var largest = 0
        for name in names {
            for part in Part.allCases {
                largest = max(largest, try shape(name, part).reduce(1, *))
            }
        }
        return largest
    }

    /// Copies a tensor's elements, in row-major order.
    ///
    /// - Throws: exit code 65 where they are not float32.
    package func read(
        _ name: String, _ part: Part, into floats: UnsafeMutablePointer<Float>
    ) throws(Failure) {
        try groups[part]!.dataset(name).read(into: floats)
    }
}
