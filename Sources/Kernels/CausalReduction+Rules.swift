/// What an operation does with one vector of elements. The loops are generic over it, so that each
/// operation has its own loop and none decides anything inside.
///
/// The `to…` functions split a gradient of the output between the operands.
protocol ReductionRule {
    /// Whether the split depends on the values that were compared.
    static var selects: Bool { get }

    static func value(_ current: Vector, _ previous: Vector) -> Vector
    static func toCurrent(_ gradient: Vector, _ current: Vector, _ previous: Vector) -> Vector
    static func toPrevious(_ gradient: Vector, _ current: Vector, _ previous: Vector) -> Vector

    static func value(_ current: Vector, _ previous: Vector, _ context: Vector) -> Vector
    static func split(
        _ gradient: Vector, _ current: Vector, _ previous: Vector, _ context: Vector
    ) -> (current: Vector, previous: Vector, context: Vector)
}

/// A rule whose value is one of its operands. Ties go to the current, then the previous, then the
/// context: it starts with the current and replaces on a strict comparison only, which also keeps the
/// current beside a NaN.
protocol SelectingRule: ReductionRule {
    /// Where `challenger` replaces `holder`. Strict.
    static func replaces(
        _ challenger: Vector, _ holder: Vector
    ) -> SIMDMask<Vector.MaskStorage>
}

extension SelectingRule {
    static var selects: Bool { true }

    @inline(__always)
    static func value(_ current: Vector, _ previous: Vector) -> Vector {
        current.replacing(with: previous, where: replaces(previous, current))
    }

    @inline(__always)
    static func toCurrent(_ gradient: Vector, _ current: Vector, _ previous: Vector) -> Vector {
        gradient.replacing(with: 0, where: replaces(previous, current))
    }

    @inline(__always)
    static func toPrevious(_ gradient: Vector, _ current: Vector, _ previous: Vector) -> Vector {
        Vector.zero.replacing(with: gradient, where: replaces(previous, current))
    }

    @inline(__always)
    static func value(_ current: Vector, _ previous: Vector, _ context: Vector) -> Vector {
        value(value(current, previous), context)
    }

    @inline(__always)
    static func split(
        _ gradient: Vector, _ current: Vector, _ previous: Vector, _ context: Vector
    ) -> (current: Vector, previous: Vector, context: Vector) {
        let pair = value(current, previous)
        let toPair = toCurrent(gradient, pair, context)
        return (
            toCurrent(toPair, current, previous), toPrevious(toPair, current, previous),
            toPrevious(gradient, pair, context)
        )
    }
}

enum Maximum: SelectingRule {
    @inline(__always)
    static func replaces(
        _ challenger: Vector, _ holder: Vector
    ) -> SIMDMask<Vector.MaskStorage> {
        challenger .> holder
    }
}

enum Minimum: SelectingRule {
    @inline(__always)
    static func replaces(
        _ challenger: Vector, _ holder: Vector
    ) -> SIMDMask<Vector.MaskStorage> {
        challenger .< holder
    }
}

enum Mean: ReductionRule {
    static var selects: Bool { false }

    @inline(__always)
    static func value(_ current: Vector, _ previous: Vector) -> Vector {
        (current + previous) * 0.5
    }

    @inline(__always)
    static func toCurrent(_ gradient: Vector, _ current: Vector, _ previous: Vector) -> Vector {
        gradient * 0.5
    }

    @inline(__always)
    static func toPrevious(_ gradient: Vector, _ current: Vector, _ previous: Vector) -> Vector {
        gradient * 0.5
    }

    @inline(__always)
    static func value(_ current: Vector, _ previous: Vector, _ context: Vector) -> Vector {
        (current + previous + context) / 3
    }

    @inline(__always)
    static func split(
        _ gradient: Vector, _ current: Vector, _ previous: Vector, _ context: Vector
    ) -> (current: Vector, previous: Vector, context: Vector) {
        let third = gradient / 3
        return (third, third, third)
    }
}
