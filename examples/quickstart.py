"""Add one callback to a Trainer to watch smoothness while a network trains."""

from lightning import Trainer, seed_everything

from lightning_topolip import TopoLipCallback
from lightning_topolip.data import DigitsDataModule
from lightning_topolip.models import ViTClassifier

seed_everything(0)
smoothness = TopoLipCallback()
trainer = Trainer(max_epochs=4, callbacks=[smoothness], log_every_n_steps=10)
trainer.fit(ViTClassifier(size="micro"), DigitsDataModule(batch_size=64))

report = smoothness.history.last
print(f"TopoLip {report.score:.3f} over {len(report.layers)} layers; now: tensorboard --logdir lightning_logs")
