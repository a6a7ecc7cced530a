/// What is to happen, earliest first; of two at one time, the lower bucket's first. A binary heap.
struct EventQueue {
    struct Event {
        var time: Double
        let bucket: Int
        var stage: Int
        /// Whether what the stage has received is to be added; otherwise its messages are to start.
        var adds: Bool

        fileprivate func isBefore(_ other: Event) -> Bool {
            (time, bucket) < (other.time, other.bucket)
        }
    }

    private var heap: [Event] = []

    mutating func add(_ event: Event) {
        heap.append(event)
        var child = heap.count - 1
        while child > 0, heap[child].isBefore(heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// Takes the earliest event; nil where there is none.
    mutating func next() -> Event? {
        guard let last = heap.popLast() else { return nil }
        guard let first = heap.first else { return last }
        heap[0] = last
        var parent = 0
        while true {
            let children = [2 * parent + 1, 2 * parent + 2].filter { $0 < heap.count }
            guard let least = children.min(by: { heap[$0].isBefore(heap[$1]) }),
                heap[least].isBefore(heap[parent])
            else { return first }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
