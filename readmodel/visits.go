package readmodel

import (
	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// patient is the key of the row that a view keeps of a visit.
type patient struct{ queueID, patientID string }

// visit is what a batch of events makes of one patient's row: first the row from
// before the batch is deleted or changed, then a new one is inserted.
type visit[S any] struct {
	patient
	gone    bool                     // the row from before is deleted
	changed bool                     // the row from before takes on the state
	joined  *schema.PatientCheckedIn // the new row; nil where there is none
	arrival int64                    // the version of that check-in
	state   S                        // what stands in the row besides the check-in
}

// visits folds a batch of events into one change a row, so that the statements
// need not follow the events one by one.
type visits[S any] struct {
	last    map[patient]*visit[S]
	inOrder []*visit[S]
}

func foldVisits[S any](events []schema.Recorded, take func(*visits[S], schema.Recorded)) *visits[S] {
	f := &visits[S]{last: make(map[patient]*visit[S], len(events))}
	for _, e := range events {
		take(f, e)
	}
	return f
}

func (f *visits[S]) visit(key patient) *visit[S] {
	v := f.last[key]
	if v == nil {
		v = &visit[S]{patient: key}
		f.last[key] = v
		f.inOrder = append(f.inOrder, v)
	}
	return v
}

// begin adds the row of a check-in.
func (f *visits[S]) begin(e schema.PatientCheckedIn, version int64, state S) {
	key := patient{e.QueueID, e.PatientID}
	v := f.visit(key)
	if v.joined != nil { // who is here checks in again: the table's key refuses it
		v = &visit[S]{patient: key}
		f.last[key] = v
		f.inOrder = append(f.inOrder, v)
	}
	v.joined, v.arrival, v.state, v.changed = &e, version, state, false
}

// of returns the state of a patient's row, to be changed. Changing it has no
// effect where there is no row.
func (f *visits[S]) of(queueID, patientID string) *S {
	v := f.visit(patient{queueID, patientID})
	v.changed = v.joined == nil && !v.gone
	return &v.state
}

// end removes the row of a patient, if there is one.
func (f *visits[S]) end(queueID, patientID string) {
	v := f.visit(patient{queueID, patientID})
	if v.joined != nil {
		v.joined = nil // as if it had never been
		return
	}
	v.gone, v.changed = true, false
}

// deleted are the keys of the rows from before that are deleted.
func (f *visits[S]) deleted() (k keys) {
	for _, v := range f.inOrder {
		if v.gone {
			k.add(v.patient)
		}
	}
	return k
}

// keys are the columns of several keys, as unnest takes them.
type keys struct{ queueIDs, patientIDs []string }

func (k *keys) add(p patient) {
	k.queueIDs = append(k.queueIDs, p.queueID)
	k.patientIDs = append(k.patientIDs, p.patientID)
}

// queueDelete deletes the rows of patients from a table that has one a patient.
func (k *keys) queueDelete(b *pgx.Batch, table string) {
	if len(k.queueIDs) == 0 {
		return
	}
	b.Queue(`DELETE FROM `+table+` v USING unnest($1::text[], $2::text[]) AS k (queue_id, patient_id)
		WHERE v.queue_id = k.queue_id AND v.patient_id = k.patient_id`, k.queueIDs, k.patientIDs)
}
